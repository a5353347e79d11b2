//! The package `cbor2` of npm, whose mode `cde` is meant to be draft-ietf-cbor-cde.
//!
//! Where it differs, the script says how it is told the value:
//! - JavaScript has no integers apart from floats; a float is written by the library's function for floats.
//! - The library writes a `Uint8Array` as a byte string, and an `Int8Array` as a map. Typed arrays of 8 bits are given
//!   to it as tags 64 and 72 around byte strings (RFC 8746 §2.1).

use std::process::Command;

use iot_codec::{
    cbor::{
        Limits,
        lenient::{self, Rules, normalize},
        to_vec, validate,
    },
    serde::to_vec_det,
};

use super::{
    child::ask,
    generate::{Tags, items},
    item::{InOrder, Item, Order, hex, unhex},
    tree::tree,
};

const COUNT: usize = 12_000;

fn node() -> Command {
    let mut command = Command::new("node");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/items.cjs"));
    command
}

#[test]
#[ignore = "needs node, and the npm package cbor2 on NODE_PATH"]
fn npm_cbor2_writes_the_same_bytes() {
    let items = items(COUNT, 21, Tags::Any);
    let lines: Vec<_> = items.iter().map(Item::description).collect();
    let (mut refused, mut by_serde) = (0, 0);
    for (item, answer) in items.iter().zip(ask(node(), &lines)) {
        let ours = item.deterministic();
        let [cde, plain, wide, cde_read, plain_read] = answer.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{answer}")
        };
        assert_eq!(hex(&ours), cde, "{item:?}");
        assert_eq!(validate(&ours, &Limits::default()), Ok(()), "{item:?}");
        assert_eq!(cde_read, "read", "its strict reader, of {cde}");

        // The two other ways in which the crate comes to this encoding.
        let unsorted = to_vec(&InOrder(item, Order::Insertion));
        assert_eq!(normalize(&unsorted, &Limits::default(), Rules::default()), Ok(ours.clone()), "{item:?}");
        if let Some(tree) = tree(item) {
            assert_eq!(to_vec_det(&tree), Ok(ours.clone()), "{item:?}");
            by_serde += 1;
        }

        // What it writes otherwise: maps as they come, and every float with 64 bits.
        assert_eq!(hex(&unsorted), plain, "{item:?}");
        assert_eq!(validate(&unsorted, &Limits::default()).is_ok(), unsorted == ours);
        assert_eq!(plain_read == "read", unsorted == ours, "its strict reader, of {plain}");
        let wide = unhex(wide);
        assert_eq!(validate(&wide, &Limits::default()).is_ok(), wide == ours, "{item:?}");
        assert_eq!(lenient::validate(&wide, &Limits::default(), Rules::default()), Ok(()));
        assert_eq!(normalize(&wide, &Limits::default(), Rules::default()), Ok(ours.clone()), "{item:?}");
        refused += usize::from(unsorted != ours) + usize::from(wide != ours);
    }
    assert!(refused > COUNT / 4 && by_serde > COUNT / 4, "{refused} refused, {by_serde} by serde");
}
