extension Kernels {
    /// One line per file of this folder: operators by name and how to prepare them.
    static let families: [[(String, Prepare)]] = []
}
