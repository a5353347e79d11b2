//! What several fuzz targets share: the oracles that they hold the decoders against, and the true messages that they
//! change.

pub mod batch;
pub mod cose;
pub mod envelopes;
pub mod groups;
pub mod line;
pub mod neighbour;
pub mod pack;
pub mod party;
pub mod streams;
pub mod structures;
pub mod tamper;
pub mod value;
