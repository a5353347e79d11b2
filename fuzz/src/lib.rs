//! What several fuzz targets share: the oracles that they hold the decoders against.

pub mod batch;
pub mod line;
pub mod pack;
pub mod value;
