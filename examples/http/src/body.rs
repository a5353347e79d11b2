//! Many packets in one body: each behind its length.

use std::io;

use iot_codec::framing::{LengthDelimited, frame_header};
use iot_crypto::RoutingHeader;

/// Octets of the longest body: 16 packets of a device, or what a receiver has to say.
pub const MAX_LEN: usize = 256 * 1024;

/// Octets of the longest packet.
const MAX_PACKET: usize = 16 * 1024;

/// Writes a body.
pub fn write(packets: &[Vec<u8>]) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    for packet in packets {
        body.extend(frame_header(packet.len()).map_err(io::Error::other)?);
        body.extend_from_slice(packet);
    }
    Ok(body)
}

/// Reads a body.
pub fn read(mut body: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let (mut decoder, mut packets) = (LengthDelimited::new(vec![0; MAX_PACKET]), Vec::new());
    while !body.is_empty() {
        body = &body[decoder.push(body).map_err(io::Error::other)?..];
        while let Some(packet) = decoder.next_frame() {
            packets.push(packet.to_vec());
        }
    }
    decoder.finish().map_err(io::Error::other)?;
    Ok(packets)
}

/// What names a body however often it is sent: the positions of its first and last packet.
pub fn key(packets: &[Vec<u8>]) -> String {
    let position = |packet: &Vec<u8>| {
        let (header, _) = RoutingHeader::parse(packet).ok()?;
        Some(format!("{}/{}/{}", header.stream, header.incarnation, header.sequence))
    };
    let ends = [packets.first(), packets.last()].map(|packet| packet.and_then(position).unwrap_or_default());
    ends.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_back_and_a_body_that_is_cut_off_is_refused() {
        let packets = vec![vec![1; 300], Vec::new(), vec![2]];
        let body = write(&packets).unwrap();
        assert_eq!(read(&body).unwrap(), packets);
        assert_eq!(read(&[]).unwrap(), Vec::<Vec<u8>>::new());
        assert!(read(&body[..body.len() - 1]).is_err());
        assert!(read(&[0xff; 8]).is_err());
    }
}
