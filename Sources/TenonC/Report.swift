import TenonRuntime

/// What an executable runs, as a table.
enum Report {
    static func text(_ executable: Executable) -> String {
        let profile = executable.lastProfile
        let steps = profile?.steps ?? executable.steps
        var rows = [["step", "binding", "composite", "implementation", "layouts", "microseconds"]]
        for (index, step) in steps.enumerated() {
            var time = ""
            if let profile, profile.nanoseconds.indices.contains(index) {
                time = microseconds(profile.nanoseconds[index])
            }
            rows.append(["\(index)", step.binding, step.composite, step.implementation, step.layouts, time])
        }
        if let profile {
            rows.append(["", "total", "", "", "", microseconds(profile.totalNanoseconds)])
        }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        var text = ""
        for row in rows {
            var line = ""
            for (column, cell) in row.enumerated() {
                let gap = String(repeating: " ", count: widths[column] - cell.count)
                line += (column > 0 ? "  " : "") + (column == 5 ? gap + cell : cell + gap)
            }
            while line.last == " " { line.removeLast() }
            text += line + "\n"
        }
        return text
    }

    /// With one digit after the point.
    private static func microseconds(_ nanoseconds: UInt64) -> String {
        let tenths = nanoseconds / 100 + (nanoseconds % 100 >= 50 ? 1 : 0)
        return "\(tenths / 10).\(tenths % 10)"
    }
}
