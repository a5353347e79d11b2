/// Declares a struct or an enum together with its [`Encode`](crate::cbor::Encode) and [`Decode`](crate::cbor::Decode).
///
/// **A struct** is a map with integer keys. A field whose type is an `Option` is left out when it is `None`; all others
/// are required. A field's type is anything that implements both traits: numbers, `bool`, `&str`, `&[u8]` and
/// `[u8; N]` (byte strings), [`Array`](crate::cbor::Array), [`Items`](crate::cbor::Items),
/// [`TypedArray`](crate::cbor::TypedArray), [`Bignum`](crate::cbor::Bignum), [`RawItem`](crate::cbor::RawItem), other
/// records, with `alloc` also `String`, `Vec<u8>` (a byte string), `cbor::List`, `Box` and `Cow`, and types of your own. A
/// type that borrows has one lifetime, that of the input.
///
/// **An enum** of bare variants is their number. An enum whose variants each hold a value is the array
/// `[number, value]`.
///
/// ```
/// use iot_codec::{cbor::{from_slice, to_slice}, record};
///
/// record! {
///     #[derive(Clone, Copy, Debug, PartialEq, Eq)]
///     pub enum Quality { 0 => Good, 1 => Stale }
/// }
///
/// record! {
///     /// Attributes and documentation pass through.
///     #[derive(Clone, Debug, PartialEq)]
///     pub struct Reading<'b> {
///         1 => pub topic: &'b str,
///         2 => pub value: f32,
///         3 => pub quality: Option<Quality>,
///         // A reader that does not know this key must refuse the reading.
///         -1 => pub calibration: Option<u32>,
///     }
/// }
///
/// record! {
///     #[derive(Clone, Debug, PartialEq)]
///     pub enum Message<'b> { 1 => Reading(Reading<'b>), 2 => Blob(&'b [u8]) }
/// }
///
/// let reading = Reading { topic: "a/b", value: 21.5, quality: None, calibration: None };
/// let message = Message::Reading(reading);
/// let mut space = [0; 32];
/// let bytes = to_slice(&message, &mut space)?;
/// assert_eq!(bytes, b"\x82\x01\xa2\x01\x63a/b\x02\xf9\x4d\x60");
/// assert_eq!(from_slice::<Message>(bytes)?, message);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Evolution
/// - A number is never reused, and a field or variant that goes leaves its number behind.
/// - What is added to a struct is an `Option`, so that older input still decodes.
/// - A reader skips a non-negative key that it does not know, after validating its value under the limits.
/// - A reader refuses a negative key that it does not know
///   ([`UnknownKey`](crate::cbor::DecodeErrorKind::UnknownKey)): what must not be ignored gets a negative key.
/// - An unknown variant is refused ([`UnknownVariant`](crate::cbor::DecodeErrorKind::UnknownVariant)).
///
/// Keys that are not integers are refused: a later version of a record cannot bring them. An error names the innermost
/// key concerned.
///
/// # Order
/// Keys and numbers are literals of `i32`, in the order in which CBOR sorts their encodings: 0, 1, 2, ... and then -1,
/// -2, ... The compiler checks it:
///
/// ```compile_fail,E0080
/// iot_codec::record! {
///     struct Unsorted { 2 => first: u8, 1 => second: u8 }
/// }
/// ```
///
/// ```compile_fail,E0080
/// iot_codec::record! {
///     struct NegativeFirst { -1 => first: u8, 1 => second: u8 }
/// }
/// ```
///
/// ```compile_fail,E0080
/// iot_codec::record! {
///     enum Twice { 1 => First, 1 => Second }
/// }
/// ```
#[macro_export]
macro_rules! record {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident $(<$life:lifetime>)? {
            $($(#[$field_meta:meta])* $key:literal => $field_vis:vis $field:ident: $type:ty),* $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis struct $name $(<$life>)? {
            $($(#[$field_meta])* $field_vis $field: $type,)*
        }

        const _: () = $crate::record::assert_ascending(&[$($key),*]);

        impl $(<$life>)? $crate::cbor::Encode for $name $(<$life>)? {
            #[inline]
            fn encode<O: $crate::cbor::Output>(
                &self,
                writer: &mut $crate::cbor::Writer<O>,
            ) -> ::core::result::Result<(), $crate::cbor::EncodeError> {
                writer.map(0 $(+ $crate::record::EncodeField::count(&self.$field))*)?;
                $($crate::record::EncodeField::encode_field(&self.$field, $key, writer)?;)*
                ::core::result::Result::Ok(())
            }
        }

        $crate::record! { @read [$name] [$($life)?] cursor {
            #[allow(unused_variables)]
            $crate::record::Fields::read(cursor, |fields| {
                $(let $field = $crate::record::DecodeField::decode_field(fields, $key)?;)*
                ::core::result::Result::Ok(Self { $($field),* })
            })
        } }
    };
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $($(#[$variant_meta:meta])* $number:literal => $variant:ident),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        const _: () = $crate::record::assert_ascending(&[$($number),+]);

        impl $crate::cbor::Encode for $name {
            #[inline]
            fn encode<O: $crate::cbor::Output>(
                &self,
                writer: &mut $crate::cbor::Writer<O>,
            ) -> ::core::result::Result<(), $crate::cbor::EncodeError> {
                writer.int(match self { $(Self::$variant => $number,)+ })
            }
        }

        $crate::record! { @decode [$name] [] cursor {
            let offset = cursor.position();
            match cursor.int()? {
                $($number => ::core::result::Result::Ok(Self::$variant),)+
                number => ::core::result::Result::Err($crate::record::unknown_variant(number, offset)),
            }
        } }
    };
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident $(<$life:lifetime>)? {
            $($(#[$variant_meta:meta])* $number:literal => $variant:ident($type:ty)),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis enum $name $(<$life>)? {
            $($(#[$variant_meta])* $variant($type),)+
        }

        const _: () = $crate::record::assert_ascending(&[$($number),+]);

        impl $(<$life>)? $crate::cbor::Encode for $name $(<$life>)? {
            #[inline]
            fn encode<O: $crate::cbor::Output>(
                &self,
                writer: &mut $crate::cbor::Writer<O>,
            ) -> ::core::result::Result<(), $crate::cbor::EncodeError> {
                writer.array(2)?;
                match self {
                    $(Self::$variant(value) => {
                        writer.int($number)?;
                        $crate::cbor::Encode::encode(value, writer)
                    })+
                }
            }
        }

        $crate::record! { @decode [$name] [$($life)?] cursor {
            cursor.enter()?;
            $crate::record::variant_pair(cursor)?;
            let offset = cursor.position();
            let value = match cursor.int()? {
                $($number => Self::$variant($crate::cbor::Decode::decode(cursor)?),)+
                number => return ::core::result::Result::Err($crate::record::unknown_variant(number, offset)),
            };
            cursor.leave();
            ::core::result::Result::Ok(value)
        } }
    };
    (@decode [$name:ident] [] $cursor:ident $body:block) => {
        impl<'input> $crate::cbor::Decode<'input> for $name {
            #[inline]
            fn decode(
                $cursor: &mut $crate::cbor::Cursor<'input>,
            ) -> ::core::result::Result<Self, $crate::cbor::DecodeError> $body
        }
    };
    (@decode [$name:ident] [$life:lifetime] $cursor:ident $body:block) => {
        impl<$life> $crate::cbor::Decode<$life> for $name<$life> {
            #[inline]
            fn decode(
                $cursor: &mut $crate::cbor::Cursor<$life>,
            ) -> ::core::result::Result<Self, $crate::cbor::DecodeError> $body
        }
    };
    (@read [$name:ident] [] $cursor:ident $body:block) => {
        impl<'input> $crate::cbor::Decode<'input> for $name {
            $crate::record! { @read 'input $cursor $body }
        }
    };
    (@read [$name:ident] [$life:lifetime] $cursor:ident $body:block) => {
        impl<$life> $crate::cbor::Decode<$life> for $name<$life> {
            $crate::record! { @read $life $cursor $body }
        }
    };
    (@read $life:lifetime $cursor:ident $body:block) => {
        #[inline]
        fn decode(
            cursor: &mut $crate::cbor::Cursor<$life>,
        ) -> ::core::result::Result<Self, $crate::cbor::DecodeError> {
            let result = <Self as $crate::cbor::Decode>::read(cursor);
            cursor.outcome(result)
        }

        #[inline]
        fn read(
            $cursor: &mut $crate::cbor::Cursor<$life>,
        ) -> ::core::result::Result<Self, $crate::cbor::Failed> $body
    };
}
