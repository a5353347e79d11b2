//! Sensor Measurement Lists (RFC 8428), in JSON and CBOR, so that other tools read and write what devices measure.
//!
//! A pack is a list of [`Record`]s as they stand on the wire, where base values hold for all records behind them;
//! [`resolve`] applies them, and gives each measurement by itself. Labels that this crate does not know are passed over,
//! unless they end in `_` and so must be understood (RFC 8428 §4.4). CBOR is read in any well-formed encoding, and
//! written in the deterministic one.
//!
//! A batch of [`series`](crate::series) becomes a pack by [`from_batch`], and measurements become a batch by [`to_batch`].
//!
//! All is bounded by [`Limits`](crate::cbor::Limits): what is read by its bytes and its items, and what is resolved by the
//! bytes of names and units. A [`Record`] takes some 240 bytes of memory however short it was, so a device or a gateway
//! with little of it sets the limit of items (65,536 by default), or keeps one record at a time: [`each_from_cbor`] and
//! [`each_from_json`] hand them out, and a [`Resolver`] applies base values to them.
//!
//! ```
//! use iot_codec::{cbor::Limits, senml::{Value, from_json, resolve, to_cbor}};
//!
//! let json = br#"[{"bn":"urn:dev:a:","bt":1320067464,"n":"temp","u":"Cel","v":23.1},{"n":"fan","t":10,"v":0}]"#;
//! let limits = Limits::default();
//! let pack = from_json(json, &limits)?;
//! let measurements = resolve(&pack, 0.0, &limits)?;
//! assert_eq!(measurements[0].value, Some(Value::Number(23.1)));
//! assert_eq!((measurements[1].name.as_str(), measurements[1].time), ("urn:dev:a:fan", 1_320_067_474.0));
//! assert_eq!(to_cbor(&pack).len(), 51);
//! # Ok::<(), iot_codec::senml::SenmlError>(())
//! ```

mod base64url;
mod batch;
mod cbor;
mod error;
mod json;
mod record;
mod resolve;

pub use batch::{BatchError, ChannelName, from_batch, to_batch};
pub use cbor::{each_from_cbor, from_cbor, to_cbor};
pub use error::SenmlError;
pub use json::{each_from_json, from_json, to_json};
pub use record::{Record, Value};
pub use resolve::{Measurement, Resolver, resolve};
