//! The checksum of Castagnoli (RFC 9260 appendix A), which a header may carry of itself.

/// The checksum of all `parts`, as if they were one.
pub(super) fn crc32c<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let bytes = parts.into_iter().flatten();
    !bytes.fold(!0, |sum, byte| {
        let [low, ..] = (sum ^ u32::from(*byte)).to_le_bytes();
        let row = TABLE.get(usize::from(low)).copied().unwrap_or_default();
        (sum >> 8) ^ row
    })
}

/// What each value of a byte adds.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        let mut sum = index as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = (sum >> 1) ^ if sum & 1 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        #[expect(clippy::indexing_slicing, reason = "the loop ends before the table does")]
        {
            table[index] = sum;
        }
        index += 1;
    }
    table
};

/// With its bits in the order in which they are sent.
const POLYNOMIAL: u32 = 0x82f6_3b78;

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn the_checksums_of_rfc_3720_come_out() {
        // RFC 3720 appendix B.4.
        let ascending: Vec<u8> = (0..32).collect();
        let descending: Vec<u8> = (0..32).rev().collect();
        for (bytes, expected) in [
            (vec![0; 32], 0x8a91_36aa),
            (vec![0xff; 32], 0x62a8_ab43),
            (ascending, 0x46dd_794e),
            (descending, 0x113f_db5c),
            (b"123456789".to_vec(), 0xe306_9283),
        ] {
            assert_eq!(crc32c([&*bytes]), expected, "{bytes:?}");
            let (one, two) = bytes.split_at(5);
            assert_eq!(crc32c([one, two]), expected, "in two parts");
        }
    }
}
