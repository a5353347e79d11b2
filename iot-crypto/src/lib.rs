//! Under construction.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(iot_fault)]
pub mod fault;
mod key;

mod error;
#[cfg(test)]
mod vectors;

pub use crate::error::SignatureError;
pub use crate::key::{
    AgreementKey, AgreementSecret, KeyError, Signature, Signer, SignerError, SigningKey, Thumbprint, VerifyingKey,
};
