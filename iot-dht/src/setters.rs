/// Setters of a configuration whose fields have their names: each takes a value, says what is valid, and fails on anything
/// else.
macro_rules! setters {
    ($($(#[$meta:meta])* $name:ident: $type:ty, $valid:expr, $words:literal;)*) => {$(
        $(#[$meta])*
        ///
        /// # Panics
        /// When the value is out of range.
        pub fn $name(mut self, value: $type) -> Self {
            let valid: fn($type) -> bool = $valid;
            assert!(valid(value), $words);
            self.$name = value;
            self
        }
    )*};
}

pub(crate) use setters;
