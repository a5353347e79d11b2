//! What others make of the vectors that this crate writes in its tests of sessions and groups.

use crate::child::python;

/// It writes the handshakes anew, by what `docs/formats/session.md` says.
#[test]
#[ignore = "needs the python packages noiseprotocol and cbor2"]
fn python_noiseprotocol_writes_the_sessions() {
    assert_eq!(python("session.py", ""), "2 handshakes\n");
}

#[test]
#[ignore = "needs the python packages cwt, cbor2 and cryptography"]
fn python_cwt_opens_the_messages_of_a_group() {
    assert_eq!(python("group.py", ""), "3 messages\n");
}
