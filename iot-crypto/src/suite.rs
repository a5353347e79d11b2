use crate::cose::Algorithm;

/// How a message is protected: a row of [`TABLE`](Self::TABLE).
///
/// A message names its suite by the COSE numbers of its layers, each in a protected header, and the signature inside
/// names the suite around it. A reader looks the numbers up here and nowhere else, and compares the row with the floor
/// that it has set for the peer: nothing on the wire can lower that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Suite {
    /// Signed and readable by everybody: `COSE_Sign1`.
    Signed,
    /// Sealed to one reader with HPKE-4: X25519, HKDF-SHA256, ChaCha20-Poly1305, the signature inside.
    Hpke4,
    /// Sealed to several readers, ChaCha20/Poly1305 under a content key that HPKE-4-KE encrypts to each of them, the
    /// signature inside.
    Hpke4KeyEncryption,
    /// Sealed to one reader with HPKE-9: X-Wing (ML-KEM-768 and X25519), SHAKE256, AES-256-GCM, the signature inside.
    /// **Experimental**: its number is one that a draft assumes.
    #[cfg(feature = "x-wing")]
    Hpke9,
    /// Sealed to several readers, ChaCha20/Poly1305 under a content key that HPKE-9-KE encrypts to each of them, the
    /// signature inside. **Experimental**, as above.
    #[cfg(feature = "x-wing")]
    Hpke9KeyEncryption,
}

/// What a suite withstands. Ordered: a floor admits what is at least as strong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Strength {
    /// It proves who wrote, and hides nothing.
    Signed,
    /// It hides from everybody who has no quantum computer, today or later.
    Sealed,
    /// It hides also from who records it today and has a quantum computer later. The signature is an ordinary one.
    #[cfg(feature = "x-wing")]
    PostQuantum,
}

/// A suite with what is fixed about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuiteRow {
    /// Which.
    pub suite: Suite,
    /// What people call it.
    pub name: &'static str,
    /// What it withstands.
    pub strength: Strength,
    /// The algorithm by which the reader's key comes in, of the envelope or of its recipients, and which the signature
    /// inside names; `None` if nothing is sealed.
    pub reader_algorithm: Option<Algorithm>,
    /// Where the numbers come from, with the version of a draft.
    pub standard: &'static str,
    /// Whether its octets stay as they are.
    pub stability: Stability,
}

/// Whether messages of a suite will be read by later versions of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// They will.
    Stable,
    /// They will, though the number is a draft's: if another one is assigned, both are read.
    Draft,
    /// They may not: the suite follows its draft wherever that goes.
    Experimental,
}

impl Suite {
    /// All suites.
    pub const TABLE: &[SuiteRow] = &[
        SuiteRow {
            suite: Self::Signed,
            name: "signed",
            strength: Strength::Signed,
            reader_algorithm: None,
            standard: "RFC 9864",
            stability: Stability::Stable,
        },
        SuiteRow {
            suite: Self::Hpke4,
            name: "HPKE-4",
            strength: Strength::Sealed,
            reader_algorithm: Some(Algorithm::Hpke4),
            standard: "draft-ietf-cose-hpke-23",
            stability: Stability::Draft,
        },
        SuiteRow {
            suite: Self::Hpke4KeyEncryption,
            name: "HPKE-4-KE",
            strength: Strength::Sealed,
            reader_algorithm: Some(Algorithm::Hpke4KeyEncryption),
            standard: "draft-ietf-cose-hpke-23",
            stability: Stability::Draft,
        },
        #[cfg(feature = "x-wing")]
        SuiteRow {
            suite: Self::Hpke9,
            name: "HPKE-9",
            strength: Strength::PostQuantum,
            reader_algorithm: Some(Algorithm::Hpke9),
            standard: "draft-ietf-cose-hpke-pq-pqt-01",
            stability: Stability::Experimental,
        },
        #[cfg(feature = "x-wing")]
        SuiteRow {
            suite: Self::Hpke9KeyEncryption,
            name: "HPKE-9-KE",
            strength: Strength::PostQuantum,
            reader_algorithm: Some(Algorithm::Hpke9KeyEncryption),
            standard: "draft-ietf-cose-hpke-pq-pqt-01",
            stability: Stability::Experimental,
        },
    ];

    /// The row of this suite.
    pub const fn row(self) -> &'static SuiteRow {
        match self {
            Self::Signed => &Self::TABLE[0],
            Self::Hpke4 => &Self::TABLE[1],
            Self::Hpke4KeyEncryption => &Self::TABLE[2],
            #[cfg(feature = "x-wing")]
            Self::Hpke9 => &Self::TABLE[3],
            #[cfg(feature = "x-wing")]
            Self::Hpke9KeyEncryption => &Self::TABLE[4],
        }
    }

    /// What this suite withstands.
    pub const fn strength(self) -> Strength {
        self.row().strength
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_suite_is_its_own_row() {
        for row in Suite::TABLE {
            assert_eq!(row.suite.row(), row);
        }
    }

    #[test]
    fn no_two_suites_have_an_algorithm_in_common() {
        for (index, row) in Suite::TABLE.iter().enumerate() {
            assert!(Suite::TABLE[..index].iter().all(|other| other.reader_algorithm != row.reader_algorithm));
        }
    }
}
