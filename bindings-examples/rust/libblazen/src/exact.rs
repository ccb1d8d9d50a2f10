//! Whether JSON holds data exactly: asked before it is written, and of numbers before they are read.

use serde::ser::{self, Impossible, Serialize, Serializer};

/// No byte string, no NaN or infinity, no integer beyond 64 bits, nothing that refuses a human-readable form.
pub(crate) fn is_json<T: Serialize + ?Sized>(data: &T) -> bool {
    data.serialize(Check).is_ok()
}

/// The first integer literal of a JSON text (which is valid) that neither i64 nor u64 holds.
pub(crate) fn integer_beyond_64_bits(json: &[u8]) -> Option<&str> {
    const DIGITS_ALWAYS_HELD: usize = 18;
    if json.len() <= DIGITS_ALWAYS_HELD {
        return None;
    }
    let mut at = 0;
    while at < json.len() {
        match json[at] {
            b'"' => at = end_of_string(json, at),
            b'-' | b'0'..=b'9' => {
                let end = at + json[at..].iter().take_while(|byte| is_of_number(**byte)).count();
                let literal = std::str::from_utf8(&json[at..end]).unwrap_or_default();
                let integer = !literal.contains(['.', 'e', 'E']);
                let held = literal.parse::<i64>().is_ok() || literal.parse::<u64>().is_ok();
                if integer && end - at > DIGITS_ALWAYS_HELD && !held {
                    return Some(literal);
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    None
}

fn end_of_string(json: &[u8], opening: usize) -> usize {
    let mut at = opening + 1;
    while at < json.len() && json[at] != b'"' {
        at += if json[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

/// A serializer that writes nothing and fails where JSON would lose something.
struct Check;

/// It is not JSON; nobody reads why.
#[derive(Debug)]
struct NotJson;

impl std::fmt::Display for NotJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON does not hold this exactly")
    }
}
impl std::error::Error for NotJson {}
impl ser::Error for NotJson {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        NotJson
    }
}

macro_rules! fine {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, _: $type) -> Result<(), NotJson> { Ok(()) })*
    };
}

impl Serializer for Check {
    type Ok = ();
    type Error = NotJson;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fine!(serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
          serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_char: char,
          serialize_str: &str);

    fn serialize_i128(self, number: i128) -> Result<(), NotJson> {
        (i64::try_from(number).is_ok() || u64::try_from(number).is_ok()).then_some(()).ok_or(NotJson)
    }
    fn serialize_u128(self, number: u128) -> Result<(), NotJson> {
        u64::try_from(number).map(drop).map_err(|_| NotJson)
    }
    fn serialize_f32(self, number: f32) -> Result<(), NotJson> {
        number.is_finite().then_some(()).ok_or(NotJson)
    }
    fn serialize_f64(self, number: f64) -> Result<(), NotJson> {
        number.is_finite().then_some(()).ok_or(NotJson)
    }
    fn serialize_bytes(self, _: &[u8]) -> Result<(), NotJson> {
        Err(NotJson)
    }
    fn serialize_none(self) -> Result<(), NotJson> {
        Ok(())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, inner: &T) -> Result<(), NotJson> {
        inner.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), NotJson> {
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), NotJson> {
        Ok(())
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), NotJson> {
        Ok(())
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, inner: &T) -> Result<(), NotJson> {
        inner.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        inner: &T,
    ) -> Result<(), NotJson> {
        // How ciborium's own types say that they are a tag.
        if name == "@@TAG@@" {
            return Err(NotJson);
        }
        inner.serialize(self)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Self, NotJson> {
        Ok(self)
    }
    fn serialize_tuple(self, _: usize) -> Result<Self, NotJson> {
        Ok(self)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, NotJson> {
        Ok(self)
    }
    fn serialize_tuple_variant(self, name: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self, NotJson> {
        if name == "@@TAG@@" {
            return Err(NotJson);
        }
        Ok(self)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self, NotJson> {
        Ok(self)
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, NotJson> {
        Ok(self)
    }
    fn serialize_struct_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self, NotJson> {
        Ok(self)
    }
}

macro_rules! items {
    ($($trait:ident: $method:ident),*) => {
        $(impl ser::$trait for Check {
            type Ok = ();
            type Error = NotJson;
            fn $method<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), NotJson> {
                item.serialize(Check)
            }
            fn end(self) -> Result<(), NotJson> {
                Ok(())
            }
        })*
    };
}
items!(SerializeSeq: serialize_element, SerializeTuple: serialize_element, SerializeTupleStruct: serialize_field,
       SerializeTupleVariant: serialize_field);

macro_rules! fields {
    ($($trait:ident),*) => {
        $(impl ser::$trait for Check {
            type Ok = ();
            type Error = NotJson;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, field: &T) -> Result<(), NotJson> {
                field.serialize(Check)
            }
            fn end(self) -> Result<(), NotJson> {
                Ok(())
            }
        })*
    };
}
fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Check {
    type Ok = ();
    type Error = NotJson;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), NotJson> {
        key.serialize(Key)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotJson> {
        value.serialize(Check)
    }
    fn end(self) -> Result<(), NotJson> {
        Ok(())
    }
}

/// Keys that serde_json writes as texts and reads back: texts, integers, bools, characters, unit variants.
struct Key;

macro_rules! no_key {
    ($($method:ident($($type:ty),*)),*) => {
        $(fn $method(self $(, _: $type)*) -> Result<(), NotJson> { Err(NotJson) })*
    };
}

impl Serializer for Key {
    type Ok = ();
    type Error = NotJson;
    type SerializeSeq = Impossible<(), NotJson>;
    type SerializeTuple = Impossible<(), NotJson>;
    type SerializeTupleStruct = Impossible<(), NotJson>;
    type SerializeTupleVariant = Impossible<(), NotJson>;
    type SerializeMap = Impossible<(), NotJson>;
    type SerializeStruct = Impossible<(), NotJson>;
    type SerializeStructVariant = Impossible<(), NotJson>;

    fine!(serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
          serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_char: char,
          serialize_str: &str);
    no_key!(
        serialize_f32(f32),
        serialize_f64(f64),
        serialize_bytes(&[u8]),
        serialize_none(),
        serialize_unit(),
        serialize_unit_struct(&'static str)
    );

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), NotJson> {
        Ok(())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<(), NotJson> {
        Err(NotJson)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, inner: &T) -> Result<(), NotJson> {
        inner.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), NotJson> {
        Err(NotJson)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, NotJson> {
        Err(NotJson)
    }
    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, NotJson> {
        Err(NotJson)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, NotJson> {
        Err(NotJson)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, NotJson> {
        Err(NotJson)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, NotJson> {
        Err(NotJson)
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, NotJson> {
        Err(NotJson)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, NotJson> {
        Err(NotJson)
    }
}
