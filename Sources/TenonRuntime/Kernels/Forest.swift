import CKernels
import TenonIR

/// `ml.tree_ensemble` in the form that the kernel of `CKernels` walks: every node asks whether a number is up to a threshold.
///
/// Less-than asks for the number below the threshold, greater-than exchanges the branches, and equality is two such nodes. Nodes
/// lie in the order in which a walk along the left branches meets them.
final class Forest: @unchecked Sendable {
    /// What a comparison does with a number that is none, and which one it is.
    struct Node {
        var feature: Int32
        var threshold: Double
        var onTrue: Int32
        var onFalse: Int32
        /// 0 to 5: ≤ < ≥ > = ≠; 128 more: NaN counts as true.
        var mode: UInt8
    }

    /// Leaves as lists of weights.
    struct Leaves {
        var offsets: [Int]
        var targets: [Int32]
        var weights: [Double]
    }

    let raw: tkernel_forest
    let treeCount: Int
    private let memory: Memory

    /// What the C structure points to.
    private final class Memory {
        private var pointers: [UnsafeMutableRawPointer] = []

        deinit { for pointer in pointers { pointer.deallocate() } }

        func keep<T: BitwiseCopyable>(_ values: [T]) -> UnsafePointer<T> {
            let pointer = UnsafeMutablePointer<T>.allocate(capacity: max(values.count, 1))
            pointer.initialize(from: values, count: values.count)
            pointers.append(UnsafeMutableRawPointer(pointer))
            return UnsafePointer(pointer)
        }
    }

    /// Of nodes, leaves and roots whose numbers are in range; a child below 0 is leaf -1 - child. Nil when a branch leads back
    /// to where it came from.
    init?(
        _ nodes: [Node], _ leaves: Leaves, roots: [Int32], targets: Int, features: Int, aggregate: Int32, isDouble: Bool
    ) {
        treeCount = roots.count
        guard let heights = Forest.heights(nodes, roots) else { return nil }
        var packed = Packing(nodes: nodes, isDouble: isDouble, leafCount: leaves.offsets.count - 1)
        var starts: [Int32] = []
        for root in roots { starts.append(packed.place(root)) }
        packed.connect()
        var offsets: [Int32] = [0]
        var leafTargets: [Int32] = []
        var weights: [Double] = []
        var values: [Double] = []
        var isSingle = targets == 1 && aggregate == Int32(TKERNEL_TREES_SUM)
        for leaf in packed.leafOf {
            var value = 0.0
            if leaf >= 0 {
                let range = leaves.offsets[leaf]..<leaves.offsets[leaf + 1]
                leafTargets += leaves.targets[range]
                weights += leaves.weights[range]
                if range.count > 1 { isSingle = false }
                value = leaves.weights[range].first ?? 0
            }
            values.append(value)
            offsets.append(Int32(truncatingIfNeeded: weights.count))
        }
        let count = packed.features.count
        let memory = Memory()
        let kept: UnsafeRawPointer
        if isDouble {
            kept = UnsafeRawPointer(
                memory.keep(
                    (0..<count).map {
                        tkernel_tree_node_f64(
                            threshold: packed.thresholds[$0], feature: packed.features[$0], left: packed.left[$0],
                            step: packed.right[$0] &- packed.left[$0], unused: 0)
                    }))
        } else {
            kept = UnsafeRawPointer(
                memory.keep(
                    (0..<count).map {
                        tkernel_tree_node_f32(
                            threshold: Float(packed.thresholds[$0]), feature: packed.features[$0],
                            left: packed.left[$0], step: packed.right[$0] &- packed.left[$0])
                    }))
        }
        raw = tkernel_forest(
            is_double: isDouble ? 1 : 0, aggregate: aggregate, trees: Int32(truncatingIfNeeded: roots.count),
            target_count: Int32(truncatingIfNeeded: targets), features: Int64(features), nodes: kept,
            nan_left: memory.keep(packed.nanLeft), roots: memory.keep(starts),
            depths: memory.keep(roots.map { $0 < 0 ? 0 : heights[Int($0)] }),
            values: isSingle ? memory.keep(values) : nil, offsets: memory.keep(offsets),
            targets: memory.keep(leafTargets), weights: memory.keep(weights))
        self.memory = memory
    }

    /// How many steps the deepest leaf is below each node that a root reaches.
    private static func heights(_ nodes: [Node], _ roots: [Int32]) -> [Int32]? {
        var heights = [Int32](repeating: -1, count: nodes.count)
        var isOpen = [Bool](repeating: false, count: nodes.count)
        var stack: [Int32] = []
        for root in roots where root >= 0 {
            stack.append(root)
            while let top = stack.last {
                let index = Int(top)
                if heights[index] >= 0 {
                    stack.removeLast()
                    continue
                }
                let children = [nodes[index].onTrue, nodes[index].onFalse].filter { $0 >= 0 }
                if isOpen[index] {
                    let below = children.map { heights[Int($0)] }
                    guard !below.contains(-1) else { return nil }
                    heights[index] = (below.max() ?? 0) + (nodes[index].mode & 127 >= 4 ? 2 : 1)
                    stack.removeLast()
                    continue
                }
                isOpen[index] = true
                for child in children where heights[Int(child)] < 0 {
                    if isOpen[Int(child)] { return nil }
                    stack.append(child)
                }
            }
        }
        return heights
    }

    /// Gives nodes and leaves their places and fills them in.
    private struct Packing {
        let nodes: [Node]
        let isDouble: Bool
        var thresholds: [Double] = []
        var features: [Int32] = []
        var left: [Int32] = []
        var right: [Int32] = []
        var nanLeft: [UInt8] = []
        /// The leaf in each place; -1 for a node.
        var leafOf: [Int] = []
        private var nodePlace: [Int32]
        private var leafPlace: [Int32]

        init(nodes: [Node], isDouble: Bool, leafCount: Int) {
            self.nodes = nodes
            self.isDouble = isDouble
            nodePlace = [Int32](repeating: -1, count: nodes.count)
            leafPlace = [Int32](repeating: -1, count: leafCount)
        }

        private mutating func append(_ leaf: Int) -> Int32 {
            let place = Int32(truncatingIfNeeded: features.count)
            thresholds.append(.infinity)
            features.append(0)
            left.append(place)
            right.append(place)
            nanLeft.append(1)
            leafOf.append(leaf)
            return place
        }

        private func found(_ child: Int32) -> Int32 {
            child >= 0 ? nodePlace[Int(child)] : leafPlace[Int(-1 - child)]
        }

        mutating func place(_ root: Int32) -> Int32 {
            var stack = [root]
            while let next = stack.popLast() {
                if found(next) >= 0 { continue }
                guard next >= 0 else {
                    leafPlace[Int(-1 - next)] = append(Int(-1 - next))
                    continue
                }
                let node = nodes[Int(next)]
                nodePlace[Int(next)] = append(-1)
                if node.mode & 127 >= 4 { _ = append(-1) }
                // The left branch is placed first.
                let isSwapped = [2, 3].contains(node.mode & 127)
                stack.append(isSwapped ? node.onTrue : node.onFalse)
                stack.append(isSwapped ? node.onFalse : node.onTrue)
            }
            return found(root)
        }

        /// The largest number of the inputs' type that is below the threshold, or up to it.
        private func bound(_ threshold: Double, isBelow: Bool) -> Double {
            if isDouble { return !isBelow ? threshold : threshold == -.infinity ? .nan : threshold.nextDown }
            let nearest = Float(threshold)
            let isAbove = Double(nearest) > threshold || isBelow && Double(nearest) == threshold
            return nearest == -.infinity && isAbove ? .nan : Double(isAbove ? nearest.nextDown : nearest)
        }

        mutating func connect() {
            for (index, node) in nodes.enumerated() where nodePlace[index] >= 0 {
                let at = Int(nodePlace[index])
                let (yes, no) = (found(node.onTrue), found(node.onFalse))
                let nanIsTrue = node.mode & 128 != 0
                func set(_ at: Int, _ threshold: Double, _ left: Int32, _ right: Int32, nanLeft: Bool) {
                    features[at] = node.feature
                    thresholds[at] = threshold
                    self.left[at] = left
                    self.right[at] = right
                    self.nanLeft[at] = nanLeft ? 1 : 0
                }
                switch node.mode & 127 {
                case 0: set(at, bound(node.threshold, isBelow: false), yes, no, nanLeft: nanIsTrue)
                case 1: set(at, bound(node.threshold, isBelow: true), yes, no, nanLeft: nanIsTrue)
                case 2: set(at, bound(node.threshold, isBelow: true), no, yes, nanLeft: !nanIsTrue)
                case 3: set(at, bound(node.threshold, isBelow: false), no, yes, nanLeft: !nanIsTrue)
                default:
                    // Below the threshold, else above it; NaN is equal to nothing.
                    let isEquality = node.mode & 127 == 4
                    let (equal, other) = isEquality ? (yes, no) : (no, yes)
                    let goesToEqual = isEquality && nanIsTrue
                    set(at, bound(node.threshold, isBelow: true), other, Int32(at + 1), nanLeft: !goesToEqual)
                    set(at + 1, bound(node.threshold, isBelow: false), equal, other, nanLeft: goesToEqual)
                }
            }
        }
    }
}
