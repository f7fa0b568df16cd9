// The window of an output along one side, as first index, end and step; and how many of its places lie within the padded side.
struct Side {
    first: u32,
    end: u32,
    counted: u32,
}

fn side(at: u32, size: u32, out_size: u32, kernel: u32, stride: u32, before: u32, after: u32, dilation: u32) -> Side {
    if ADAPTIVE {
        let first = at * size / out_size;
        let end = ((at + 1u) * size + out_size - 1u) / out_size;
        return Side(first, end, end - first);
    }
    let start = at * stride; // in the padded side
    let reach = min(start + (kernel - 1u) * dilation + 1u, size + before + after);
    // The first tap that is not in the padding before.
    let skipped = (max(before, start) - start + dilation - 1u) / dilation;
    let first = start + skipped * dilation - before;
    let end = min(start + (kernel - 1u) * dilation + 1u, size + before) - before;
    return Side(first, end, reach - start);
}
