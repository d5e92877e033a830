import Glibc

/// Processors that are online.
let processorCount = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
