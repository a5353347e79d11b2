//! What a program weighs that copies what it receives and does nothing else: any program can copy.
#![no_std]
#![no_main]

device_flash::program!(decode, encode, validate);

fn decode(received: &[u8]) -> Option<&[u8]> {
    Some(received)
}

fn encode<'s>(message: &&[u8], space: &'s mut [u8]) -> Option<&'s [u8]> {
    let space = space.get_mut(..message.len())?;
    space.copy_from_slice(message);
    Some(space)
}

fn validate(received: &[u8]) -> usize {
    received.len()
}
