//! What all programs that are weighed have in common.
#![no_std]

use core::hint::black_box;
use core::panic::PanicInfo;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// Octets from somewhere that the compiler cannot know, neither their values nor their number, copied to `buffer`.
///
/// So every program copies, and what copying takes is in none of the differences.
#[inline(always)]
pub fn receive(buffer: &mut [u8]) -> &[u8] {
    let arrived = black_box::<&[u8]>(&[0; standard_message::SPACE]);
    match buffer.get_mut(..arrived.len()) {
        Some(buffer) => {
            buffer.copy_from_slice(arrived);
            black_box(buffer)
        }
        None => &[],
    }
}

/// A program that receives, decodes, encodes what it decoded, and validates, for ever.
///
/// The three steps are functions. The decoded message, and whatever a step returns, pass through `black_box`, errors included. So no step is folded into
/// another or left out, and no message has to stand in the program.
#[macro_export]
macro_rules! program {
    ($decode:path, $encode:path, $validate:path) => {
        #[cortex_m_rt::entry]
        fn main() -> ! {
            use core::hint::black_box;
            loop {
                let mut buffer = [0; standard_message::SPACE];
                let received = $crate::receive(&mut buffer);
                let message = black_box($decode(received));
                $crate::each(&message, |message| {
                    let mut space = [0; standard_message::SPACE];
                    let _ = black_box($encode(message, black_box(&mut space[..])));
                });
                let _ = black_box($validate(received));
            }
        }
    };
}

/// Hands out a message that was decoded, of either form of result.
#[inline(always)]
pub fn each<M>(decoded: &impl Decoded<M>, encode: impl FnOnce(&M)) {
    if let Some(message) = decoded.message() {
        encode(message);
    }
}

/// What decoding returns.
pub trait Decoded<M> {
    /// The message, if there is one.
    fn message(&self) -> Option<&M>;
}

impl<M> Decoded<M> for Option<M> {
    #[inline(always)]
    fn message(&self) -> Option<&M> {
        self.as_ref()
    }
}

impl<M, E> Decoded<M> for Result<M, E> {
    #[inline(always)]
    fn message(&self) -> Option<&M> {
        self.as_ref().ok()
    }
}
