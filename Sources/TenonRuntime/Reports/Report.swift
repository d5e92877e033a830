import TenonIR

/// What an executable runs, in forms for people and for tools.
public enum Report {
    /// A table. Times are left out when the profile has none.
    public static func table(_ profile: RunProfile) -> String {
        var rows = [["step", "binding", "composite", "implementation", "layouts", "microseconds"]]
        for (index, step) in profile.steps.enumerated() {
            let time = profile.nanoseconds.indices.contains(index) ? microseconds(profile.nanoseconds[index]) : ""
            rows.append(["\(index)", step.binding, step.composite, step.implementation, step.layouts, time])
        }
        if !profile.nanoseconds.isEmpty {
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
        var told: Set<String> = []
        for step in profile.steps where !step.note.isEmpty && told.insert(step.note).inserted {
            text += "note: \(step.note); the library's own kernels run it\n"
        }
        return text
    }

    /// Events as the trace viewers of browsers read them. Steps run one after the other, so each begins where the one before
    /// ends; what lies between steps is left out.
    public static func trace(_ profile: RunProfile) -> String {
        var (start, events) = (UInt64(0), [String]())
        for (index, step) in profile.steps.enumerated() {
            let time = profile.nanoseconds.indices.contains(index) ? profile.nanoseconds[index] : 0
            events.append(
                JSON.object([
                    ("name", JSON.string(step.composite)), ("cat", JSON.string(step.implementation)),
                    ("ph", JSON.string("X")), ("pid", "1"), ("tid", "1"), ("ts", thousandths(start)),
                    ("dur", thousandths(time)), ("args", JSON.object(fields(profile, index))),
                ]))
            start = start &+ time
        }
        return JSON.object([
            ("traceEvents", JSON.array(events)), ("displayTimeUnit", JSON.string("ns")),
        ])
    }

    /// Everything that is known of one step, as JSON.
    static func fields(_ profile: RunProfile, _ index: Int) -> [(name: String, value: String)] {
        let step = profile.steps[index]
        return [
            ("binding", JSON.string(step.binding)), ("composite", JSON.string(step.composite)),
            ("region", JSON.string(step.region)), ("implementation", JSON.string(step.implementation)),
            ("layouts", JSON.string(step.layouts)), ("bytes", "\(step.bytes)"), ("flops", "\(step.flops)"),
            ("nanoseconds", profile.nanoseconds.indices.contains(index) ? "\(profile.nanoseconds[index])" : "null"),
            ("note", JSON.string(step.note)),
        ]
    }

    /// With one digit after the point.
    static func microseconds(_ nanoseconds: UInt64) -> String {
        let tenths = nanoseconds / 100 + (nanoseconds % 100 >= 50 ? 1 : 0)
        return "\(tenths / 10).\(tenths % 10)"
    }

    /// Microseconds with three digits after the point.
    private static func thousandths(_ nanoseconds: UInt64) -> String {
        let rest = String(nanoseconds % 1000)
        return "\(nanoseconds / 1000)." + String(repeating: "0", count: 3 - rest.count) + rest
    }
}
