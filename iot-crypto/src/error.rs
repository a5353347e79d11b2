/// A signature is not the key's over exactly these octets. Says no more, so that a forger learns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not valid")]
pub struct SignatureError;
