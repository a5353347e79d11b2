/// Declares a struct or an enum together with its encoding.
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

        $crate::record! { @decode [$name] [$($life)?] cursor {
            #[allow(unused_mut)]
            let mut fields = $crate::record::Fields::open(cursor)?;
            $(let $field = $crate::record::DecodeField::decode_field(&mut fields, $key)?;)*
            *cursor = fields.close()?;
            ::core::result::Result::Ok(Self { $($field),* })
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
}
