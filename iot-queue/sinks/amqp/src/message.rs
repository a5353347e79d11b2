//! Properties of messages.

use amqprs::{BasicProperties, FieldName, FieldTable, LongStr};

/// A persistent message with these headers.
pub(crate) fn properties_of(headers: &[(&'static str, String)]) -> BasicProperties {
    let mut table = FieldTable::new();
    for (name, value) in headers {
        // Names are short, and values have fewer octets than a queue takes.
        if let (Ok(name), Ok(value)) = (FieldName::try_from(*name), LongStr::try_from(value.as_str())) {
            table.insert(name, value.into());
        }
    }
    BasicProperties::default().with_persistence(true).with_headers(table).finish()
}

/// A header of a message.
pub(crate) fn header<'p>(properties: &'p BasicProperties, name: &'static str) -> Option<&'p str> {
    let value = properties.headers()?.get(&FieldName::try_from(name).ok()?)?;
    value.try_into().ok()
}
