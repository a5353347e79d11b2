/// What is known of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    /// Nobody has verified it.
    Unknown,
    Valid,
    Invalid,
}

/// Which signatures a node believes.
///
/// Every node that a user of the crate makes believes real ones. Only a simulation can make nodes that believe its own
/// stand-ins, whether the feature is on or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Signatures {
    /// Ed25519, verified strictly.
    #[default]
    Real,
    /// The stand-ins of [`SimulatedSigner`](crate::sim::SimulatedSigner).
    #[cfg(feature = "sim")]
    Simulated,
}
