//! Whoever is on the way: what can be done to a message without its keys.

/// The message after a list of changes, each of four octets: what is done, where (u16, little endian, taken modulo the
/// length) and how much. An octet is changed or put in, a run is taken out or doubled, two neighbouring runs are
/// swapped, or the message ends there. At most 16 changes, so that no message grows much.
pub fn tampered(truth: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut message = truth.to_vec();
    for change in changes.chunks_exact(4).take(16) {
        let (offset, amount) = (usize::from(u16::from_le_bytes([change[1], change[2]])), change[3]);
        let offset = offset % (message.len() + 1);
        let run = usize::from(amount).min(message.len() - offset);
        match change[0] % 6 {
            0 => {
                if let Some(octet) = message.get_mut(offset) {
                    *octet ^= amount;
                }
            }
            1 => message.insert(offset, amount),
            2 => drop(message.drain(offset..offset + run)),
            3 => {
                let doubled = message[offset..offset + run].to_vec();
                message.splice(offset..offset, doubled);
            }
            4 => {
                let run = usize::from(amount).min((message.len() - offset) / 2);
                message[offset..offset + 2 * run].rotate_left(run);
            }
            _ => message.truncate(offset),
        }
    }
    message
}

/// The steps that an input holds: an octet that says what, a length, and as many octets.
pub struct Steps<'i>(pub &'i [u8]);

impl<'i> Iterator for Steps<'i> {
    type Item = (u8, &'i [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let ([what, len], rest) = self.0.split_first_chunk()?;
        let (octets, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        self.0 = rest;
        Some((*what, octets))
    }
}
