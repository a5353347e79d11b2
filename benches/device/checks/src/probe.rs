/// What the library is asked to do, where the stack that it takes is worth knowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// `cbor::validate`.
    Validate,
    /// `cbor::lenient::validate`.
    ValidateLeniently,
    /// `cbor::to_slice` of the standard message.
    Encode,
    /// `cbor::from_slice` of the standard message.
    Decode,
    /// `series::Encoder::encode`.
    EncodeSeries,
    /// `series::Reader`, a whole batch.
    DecodeSeries,
    /// `framing::Cobs` and `framing::Slip`, a frame each way.
    Frame,
    /// `fragment::Outgoing::next_frame`.
    SendFragment,
    /// `fragment::Receiver::handle_frame`.
    ReceiveFragment,
    /// `fec::reconstruct`.
    Reconstruct,
}

impl Work {
    /// All of it.
    pub const ALL: [Self; 10] = [
        Self::Validate,
        Self::ValidateLeniently,
        Self::Encode,
        Self::Decode,
        Self::EncodeSeries,
        Self::DecodeSeries,
        Self::Frame,
        Self::SendFragment,
        Self::ReceiveFragment,
        Self::Reconstruct,
    ];

    /// What a report calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::ValidateLeniently => "validate-leniently",
            Self::Encode => "encode",
            Self::Decode => "decode",
            Self::EncodeSeries => "encode-series",
            Self::DecodeSeries => "decode-series",
            Self::Frame => "frame",
            Self::SendFragment => "send-fragment",
            Self::ReceiveFragment => "receive-fragment",
            Self::Reconstruct => "reconstruct",
        }
    }
}

/// Whoever wants to measure what the checks do.
pub trait Probe {
    /// Calls `work` once.
    fn around(&mut self, what: Work, work: &mut dyn FnMut());
}

/// What `work` returns, measured.
pub(crate) fn measured<T>(probe: &mut dyn Probe, what: Work, work: impl FnOnce() -> T) -> Option<T> {
    let (mut work, mut result) = (Some(work), None);
    probe.around(what, &mut || result = work.take().map(|work| work()));
    result
}
