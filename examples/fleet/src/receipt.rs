//! What the server tells each device at the end: how far it has its messages.

use iot_codec::record;
use iot_core::DeviceId;

/// The topic of a receipt.
pub const TOPIC: &str = "receipt";

/// The name of the record that holds a device's key bundle.
pub const BUNDLE: &[u8] = b"bundle";

record! {
    /// An acknowledgement from end to end.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Receipt {
        /// How many messages of the device the server accepted.
        1 => pub messages: u64,
    }
}

/// The name of the server's record with the receipt for a device.
pub fn name(device: &DeviceId) -> Vec<u8> {
    [b"receipt/", &device.as_bytes()[..16]].concat()
}
