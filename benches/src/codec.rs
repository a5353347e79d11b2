//! The standard message of the targets, and the rows of the codec.

mod device;
mod fec_frames;
mod flash;
pub mod hostile;
pub mod series;
mod text_keyed;

use std::hint::black_box;

use iot_codec::cbor::{Limits, validate};
use standard_message::{SPACE, ciborium as for_ciborium, minicbor as for_minicbor, ours, postcard as for_postcard};

use text_keyed::text_keyed;

use crate::allocation::counted;
use crate::measure::{Effort, Side, interleaved};
use crate::report::{Failure, Row, RowSpec};

/// The rows.
pub const ROWS: &[RowSpec] = &[
    RowSpec { name: "codec/size", measure: size },
    RowSpec { name: "codec/decode", measure: |effort| Ok(Row::ratio(&interleaved(effort, decode_sides()), 1.0)) },
    RowSpec { name: "codec/decode-ciborium", measure: decode_ciborium },
    RowSpec { name: "codec/encode", measure: |effort| Ok(Row::ratio(&interleaved(effort, encode_sides()), 1.0)) },
    RowSpec { name: "codec/validate", measure: validate_text_keyed },
    RowSpec { name: "codec/series-size", measure: series::size },
    RowSpec { name: "codec/series-encode", measure: series::encode },
    RowSpec { name: "codec/series-decode", measure: series::decode },
    RowSpec { name: "codec/flash", measure: flash::flash },
    RowSpec { name: "codec/fec-frames", measure: fec_frames::fec_frames },
    RowSpec { name: "codec/hostile-stack", measure: hostile::stack },
    RowSpec { name: "codec/hostile-memory", measure: hostile::memory },
    RowSpec { name: "codec/hostile-crashes", measure: hostile::crashes },
];

/// Decoding, strict and borrowed: ours, `postcard`, `minicbor`.
pub fn decode_sides() -> Vec<Side<'static>> {
    let (ours, postcard, minicbor) = (encoded().ours, encoded().postcard, encoded().minicbor);
    assert_eq!(ours::decode_named(&ours), Some(ours::Named::standard()));
    assert_eq!(for_postcard::decode(&postcard), Some(for_postcard::Message::standard()));
    assert_eq!(for_minicbor::decode(&minicbor), Some(for_minicbor::Message::standard()));
    vec![
        Side::new("ours", move || black_box(ours::decode_named(black_box(&ours))).is_some()),
        Side::new("postcard", move || black_box(for_postcard::decode(black_box(&postcard))).is_some()),
        Side::new("minicbor", move || black_box(for_minicbor::decode(black_box(&minicbor))).is_some()),
    ]
}

/// Decoding: ours, and `ciborium` from its text-keyed form.
pub fn decode_ciborium_sides() -> Vec<Side<'static>> {
    let (ours, text_keyed) = (encoded().ours, encoded().ciborium);
    assert_eq!(for_ciborium::decode(&text_keyed), Some(for_ciborium::Message::standard()));
    vec![
        Side::new("ours", move || black_box(ours::decode_named(black_box(&ours))).is_some()),
        Side::new("ciborium", move || black_box(for_ciborium::decode(black_box(&text_keyed))).is_some()),
    ]
}

/// Encoding into space that the caller keeps: ours, `postcard`, `minicbor`, `ciborium`.
pub fn encode_sides() -> Vec<Side<'static>> {
    let (ours, postcard) = (ours::Message::standard(), for_postcard::Message::standard());
    let (minicbor, ciborium) = (for_minicbor::Message::standard(), for_ciborium::Message::standard());
    let (mut our_space, mut postcard_space, mut minicbor_space, mut ciborium_space) =
        ([0; SPACE], [0; SPACE], [0; SPACE], [0; SPACE]);
    vec![
        Side::new("ours", move || black_box(ours::encode(black_box(&ours), &mut our_space)).is_ok()),
        Side::new("postcard", move || {
            black_box(for_postcard::encode(black_box(&postcard), &mut postcard_space)).is_ok()
        }),
        Side::new("minicbor", move || {
            let encoded = for_minicbor::encode(black_box(&minicbor), &mut minicbor_space).is_ok();
            black_box(&minicbor_space);
            encoded
        }),
        Side::new("ciborium", move || {
            let encoded = for_ciborium::encode(black_box(&ciborium), &mut ciborium_space).is_some();
            black_box(&ciborium_space);
            encoded
        }),
    ]
}

/// Checking the text-keyed form for determinism: ours, `dcbor`, and what reading a `ciborium` value costs.
pub fn validate_sides() -> Vec<Side<'static>> {
    let message = text_keyed();
    let (for_dcbor, for_ciborium) = (message.clone(), message.clone());
    let limits = Limits::default();
    assert_eq!(validate(&message, &limits), Ok(()));
    assert!(dcbor::CBOR::try_from_data(&for_dcbor).is_ok());
    vec![
        Side::new("ours", move || validate(black_box(&message), black_box(&limits)).is_ok()),
        Side::new("dcbor", move || black_box(dcbor::CBOR::try_from_data(black_box(&for_dcbor))).is_ok()),
        Side::new("ciborium Value", move || {
            black_box(ciborium::from_reader::<ciborium::Value, _>(black_box(&for_ciborium[..]))).is_ok()
        }),
    ]
}

fn size(_: Effort) -> Result<Row, Failure> {
    let encoded = encoded();
    let peers = [
        ("postcard", encoded.postcard.len() as u64),
        ("minicbor", encoded.minicbor.len() as u64),
        ("text keys", text_keyed().len() as u64),
    ];
    Ok(Row::count(encoded.ours.len() as u64, &peers, "B", 52))
}

fn decode_ciborium(effort: Effort) -> Result<Row, Failure> {
    Ok(Row::ratio(&interleaved(effort, decode_ciborium_sides()), 1.0 / 15.0))
}

/// At most 150 ns where `dcbor` takes 1133 ns and reading a `ciborium` value 1900 ns, and no allocation.
fn validate_text_keyed(effort: Effort) -> Result<Row, Failure> {
    let message = text_keyed();
    let (result, heap) = counted(|| validate(&message, &Limits::default()));
    result?;
    let row = Row::scaled(&interleaved(effort, validate_sides()), 150e-9, &[1133e-9, 1900e-9]);
    let note = format!("{} allocations", heap.allocations);
    Ok(if heap.allocations == 0 { row.with_note(&note) } else { row.refused(&note) })
}

struct Encoded {
    ours: Vec<u8>,
    postcard: Vec<u8>,
    minicbor: Vec<u8>,
    ciborium: Vec<u8>,
}

fn encoded() -> Encoded {
    let mut space = [0; SPACE];
    let mut minicbor = minicbor::encode::write::Cursor::new(&mut space[..]);
    minicbor::encode(for_minicbor::Message::standard(), &mut minicbor).expect("it fits");
    let len = minicbor.position();
    let minicbor = space[..len].to_vec();
    let mut ciborium = Vec::new();
    ciborium::into_writer(&for_ciborium::Message::standard(), &mut ciborium).expect("a vector grows");
    Encoded {
        ours: ours::encode(&ours::Message::standard(), &mut space).expect("it fits").to_vec(),
        postcard: for_postcard::encode(&for_postcard::Message::standard(), &mut space).expect("it fits").to_vec(),
        minicbor,
        ciborium,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_have_the_sizes_of_the_table() {
        let encoded = encoded();
        assert_eq!(encoded.postcard.len(), 90);
        assert!((170..=180).contains(&text_keyed().len()), "{}", text_keyed().len());
    }

    #[test]
    fn our_values_come_back_to_the_bit() {
        let decoded = ours::decode_named(&encoded().ours).unwrap();
        assert_eq!(decoded, ours::Named::standard());
        assert!(ours::decode_named(&encoded().ours[1..]).is_none());
    }

    #[test]
    fn our_message_is_deterministic_cbor_that_others_read() {
        let ours = encoded().ours;
        assert!(dcbor::CBOR::try_from_data(&ours).is_ok());
        let value: ciborium::Value = ciborium::from_reader(&ours[..]).unwrap();
        assert_eq!(value.as_map().unwrap().len(), 5);
    }
}
