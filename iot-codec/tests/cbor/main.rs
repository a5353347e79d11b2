//! The writer, the cursor and the validator, against published vectors, damage, and another implementation.

mod appendix_a;
mod differential;
mod hostile;
mod lenient;
mod limits;
mod typed_array;
mod value;
mod vectors;
