//! The vectors of serial lines, which `tests/vectors/framing.py` makes from the definitions.

use iot_codec::framing::{Checksum, Cobs, Slip, encode_cobs, encode_slip, max_cobs_len, max_slip_len};

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal")).collect()
}

#[test]
fn vectors_are_written_and_read() {
    let mut count = 0;
    for row in include_str!("vectors/framing.txt").lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<_> = row.split(' ').collect();
        let [code, checksum, payload, line] = words[..] else { panic!("four words in {row}") };
        let checksum = match checksum {
            "none" => Checksum::None,
            "crc16" => Checksum::Crc16,
            _ => Checksum::Crc32,
        };
        let (payload, line) = (hex(payload.trim_start_matches('-')), hex(line));
        let buffer = vec![0; payload.len() + checksum.len()];
        if code == "cobs" {
            let mut space = vec![0; max_cobs_len(payload.len(), checksum)];
            assert_eq!(encode_cobs(&payload, checksum, &mut space), Ok(line.as_slice()), "{row}");
            let mut decoder = Cobs::new(buffer, checksum);
            assert_eq!(decoder.push(&line), line.len());
            assert_eq!(decoder.next_frame(), Some(payload.as_slice()), "{row}");
        } else {
            let mut space = vec![0; max_slip_len(payload.len(), checksum)];
            assert_eq!(encode_slip(&payload, checksum, &mut space), Ok(line.as_slice()), "{row}");
            let mut decoder = Slip::new(buffer, checksum);
            assert_eq!(decoder.push(&line), line.len());
            assert_eq!(decoder.next_frame(), Some(payload.as_slice()), "{row}");
        }
        count += 1;
    }
    assert_eq!(count, 59);
}
