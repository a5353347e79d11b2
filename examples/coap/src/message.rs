//! What both ends know of messages.

use std::io;
use std::time::Duration;

use coap_lite::block_handler::BlockValue;
use coap_lite::{CoapOption, MessageClass, MessageType, Packet};

/// Where packets are posted to, and which resource brings those of the receiver. Where there are many devices, the name
/// of one stands behind either.
pub const PACKETS: &str = "packets";
pub const COMMANDS: &str = "commands";

/// Octets of a block: what is longer goes in several (RFC 7959).
pub const BLOCK: usize = 1024;

/// Octets of the longest packet that goes in blocks.
pub const MAX_PACKET: usize = 16 * 1024;

/// How long a message waits for its acknowledgement the first time, each further time twice as long as before (RFC 7252
/// §4.2), and how often it is sent.
const ACK_TIMEOUT: Duration = Duration::from_secs(1);
pub const TRANSMISSIONS: u32 = 4;

/// A message of this type and code.
pub fn message(kind: MessageType, code: MessageClass, id: u16, token: &[u8]) -> Packet {
    let mut message = Packet::new();
    message.header.set_type(kind);
    message.header.code = code;
    message.header.message_id = id;
    message.set_token(token.to_vec());
    message
}

/// Puts a block of a body into a message, and says in `option` which one it is if there are several.
pub fn put_block(message: &mut Packet, option: CoapOption, body: &[u8], number: usize) -> io::Result<()> {
    if body.len() > BLOCK {
        let block = BlockValue::new(number, body.len() > (number + 1) * BLOCK, BLOCK);
        message.add_option_as(option, block.map_err(|error| io::Error::other(error.to_string()))?);
    }
    message.payload = body.chunks(BLOCK).nth(number).unwrap_or_default().to_vec();
    Ok(())
}

/// Which block a message holds or asks for.
pub fn block_of(message: &Packet, option: CoapOption) -> Option<BlockValue> {
    message.get_first_option_as(option)?.ok()
}

/// When a message is sent again that has been sent so often.
pub fn patience(sent: u32, id: u16) -> Duration {
    // So that two ends do not stay in step, each wait is up to half as long again.
    ACK_TIMEOUT.mul_f32(1.0 + f32::from(id % 64) / 128.0) * 2_u32.pow(sent - 1)
}

/// Numbers that nobody guesses: where message identifiers begin, and a token.
pub fn random() -> io::Result<(u16, [u8; 4])> {
    let mut random = [0; 6];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let [a, b, token @ ..] = random;
    Ok((u16::from_be_bytes([a, b]), token))
}
