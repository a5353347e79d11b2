/// A signature is not the key's over exactly these octets. Says no more, so that a forger learns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not valid")]
pub struct SignatureError;

/// A caller's buffer is too short for what goes into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the buffer has {available} octets where {needed} are needed")]
pub struct BufferTooSmall {
    /// Octets that are needed.
    pub needed: usize,
    /// Octets that the buffer has.
    pub available: usize,
}

impl BufferTooSmall {
    /// The first `needed` octets of `buffer`.
    pub(crate) fn check(buffer: &mut [u8], needed: usize) -> Result<&mut [u8], Self> {
        let available = buffer.len();
        buffer.get_mut(..needed).ok_or(Self { needed, available })
    }
}
