//! `minicbor`.
#![no_std]
#![no_main]

use standard_message::minicbor::{decode, encode, validate};

device_flash::program!(decode, encode, validate);
