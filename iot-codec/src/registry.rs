//! Numbers for topics, channels and units, so that a message carries a byte in place of a name.
//!
//! Both ends know a [`Registry`]: lists of numbered names that only grow. Each entry tells the version of the registry that
//! brought it; a number is never given to another name, and a name that goes leaves its number behind. So a message
//! names the version of its writer, and a reader of that version or a later one reads it: [`Registry::at`] gives the
//! [`Edition`] of a version, in which a number stands for the same name for ever. What a reader does not know is an
//! error that carries the version or the number.
//!
//! A registry is built in code, without allocation, or read from a file (feature `alloc`, `RegistryFile`), whose
//! form is in `docs/formats/registry.md`. The units of `SenML` have numbers of their own, below [`Registry::OWN_UNITS`], and are
//! in every registry: see [`Unit`].
//!
//! ```
//! use iot_codec::registry::{Channel, Entry, LookupError, Registry, Unit};
//!
//! const CELSIUS: u32 = 1;
//! static PLANT: Registry = match Registry::new(
//!     2,
//!     &[Entry::new(1, 1, "plant/7/boiler/12"), Entry::new(2, 2, "plant/7/boiler/13")],
//!     &[Channel::new(1, 1, "temperature", CELSIUS)],
//!     &[],
//! ) {
//!     Ok(registry) => registry,
//!     Err(_) => panic!("the registry contradicts itself"),
//! };
//!
//! let edition = PLANT.at(1)?;
//! assert_eq!(edition.topic(1)?, "plant/7/boiler/12");
//! let channel = edition.channel(1)?;
//! assert_eq!((channel.name(), edition.unit(channel.unit())?), ("temperature", "Cel"));
//! assert_eq!(edition.topic_number("plant/7/boiler/12"), Some(1));
//!
//! // Version 1 has no topic 2, and nobody has a version 3 yet.
//! assert_eq!(edition.topic(2).unwrap_err().to_string(), "topic 2 is not in version 1 of the registry");
//! assert!(matches!(PLANT.at(3), Err(LookupError::UnknownVersion { version: 3, latest: 2 })));
//! # Ok::<(), LookupError>(())
//! ```

mod edition;
mod entry;
mod error;
#[cfg(feature = "alloc")]
mod file;
mod units;

pub use edition::{Edition, Registry};
pub use entry::{Channel, Entry};
pub use error::{List, LookupError, RegistryError};
#[cfg(feature = "alloc")]
pub use file::RegistryFile;
pub use units::Unit;
