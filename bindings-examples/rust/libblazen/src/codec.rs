//! The two tiers of plain data: JSON for what JSON holds exactly, and `blazen/cbor`, deterministic CBOR, for the rest
//! (byte strings, NaN and the infinities, integers beyond 64 bits, values of other platforms).

use std::cell::Cell;

use serde::de::DeserializeOwned;
use serde::Serialize;

use crate::cbor;
use crate::error::WorkflowError;
use crate::exact;
use crate::live::{self, Written};
use crate::value::Value;

/// The codec of CBOR that all languages read and write.
pub(crate) const CBOR: &str = "blazen/cbor";

/// Data in the first tier that holds it exactly.
#[derive(Debug, PartialEq)]
pub(crate) enum Encoded {
    Json(Vec<u8>),
    Cbor(Vec<u8>),
    /// There are objects of this process in it.
    Live(Value),
}

thread_local! {
    /// What JSON is written into that nobody keeps.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}
/// A buffer that has grown further is not kept.
const BUFFER_BYTES_MAX: usize = 4096;

/// Gives the JSON of data to `body`, for the time of the call; None where JSON does not hold it exactly.
pub(crate) fn with_json<T: Serialize + ?Sized, R>(
    data: &T,
    body: impl FnOnce(&[u8]) -> Result<R, WorkflowError>,
) -> Option<Result<R, WorkflowError>> {
    if !exact::is_json(data) {
        return None;
    }
    let mut buffer = BUFFER.take();
    buffer.clear();
    let written = serde_json::to_writer(&mut buffer, data).map_err(WorkflowError::from);
    let answer = written.and_then(|()| body(&buffer));
    if buffer.capacity() <= BUFFER_BYTES_MAX {
        BUFFER.set(buffer);
    }
    Some(answer)
}

pub(crate) fn encode<T: Serialize + ?Sized>(data: &T) -> Result<Encoded, WorkflowError> {
    if exact::is_json(data) {
        return Ok(Encoded::Json(serde_json::to_vec(data)?));
    }
    let tree = match live::write(data)? {
        Written::Plain(tree) => tree,
        Written::Live(value) => return Ok(Encoded::Live(value)),
    };
    let cbor = cbor::write(&tree).ok_or_else(|| WorkflowError::message("there is no CBOR for this data"))?;
    Ok(Encoded::Cbor(cbor))
}

/// JSON to data. A number that the tree of serde_json would round is an error, and so is one beyond f64.
pub(crate) fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, WorkflowError> {
    if let Some(literal) = exact::integer_beyond_64_bits(json) {
        return Err(WorkflowError::invalid(format!(
            "the integer {literal} is beyond 64 bits and would be rounded; read the text (get_json, Value::as_json_text)"
        )));
    }
    let mut reader = serde_json::Deserializer::from_slice(json);
    // The library has checked the text: it is no deeper than BLAZEN_JSON_DEPTH_MAX.
    reader.disable_recursion_limit();
    let data = T::deserialize(&mut reader)?;
    reader.end()?;
    Ok(data)
}

pub(crate) fn from_cbor<T: DeserializeOwned>(cbor: &[u8]) -> Result<T, WorkflowError> {
    ciborium::from_reader(cbor).map_err(WorkflowError::step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ciborium::Value as Cbor;

    #[test]
    fn plain_data_is_json() {
        let encoded = encode(&serde_json::json!({"b": 1, "a": [true, null, "x"]})).unwrap();
        assert_eq!(encoded, Encoded::Json(br#"{"b":1,"a":[true,null,"x"]}"#.to_vec()));
    }

    #[test]
    fn what_json_would_lose_is_cbor_and_comes_back() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let Encoded::Cbor(bytes) = encode(&[number]).unwrap() else { panic!("JSON cannot hold {number}") };
            let [back]: [f64; 1] = from_cbor(&bytes).unwrap();
            assert_eq!(back.is_nan(), number.is_nan());
            assert!(back.is_nan() || back == number);
        }
        let Encoded::Cbor(bytes) = encode(&(u128::MAX, i128::MIN)).unwrap() else {
            panic!("no face reads such an integer out of JSON")
        };
        assert_eq!(from_cbor::<(u128, i128)>(&bytes).unwrap(), (u128::MAX, i128::MIN));
    }

    #[test]
    fn maps_are_in_the_order_of_their_encoded_keys() {
        let tree = Cbor::Map(vec![
            (Cbor::Text("bb".into()), Cbor::Float(f64::NAN)),
            (Cbor::Text("c".into()), Cbor::Null),
            (Cbor::Text("a".into()), Cbor::Null),
        ]);
        let Encoded::Cbor(bytes) = encode(&tree).unwrap() else { panic!("NaN is no JSON") };
        assert_eq!(bytes, b"\xa3\x61a\xf6\x61c\xf6\x62bb\xf9\x7e\x00");
    }

    #[test]
    fn a_number_that_would_be_rounded_is_refused() {
        let error = from_json::<serde_json::Value>(br#"{"n":18446744073709551616}"#).unwrap_err();
        assert!(error.to_string().contains("18446744073709551616"), "{error}");
        assert!(from_json::<serde_json::Value>(b"1e400").is_err());
        let kept: serde_json::Value = from_json(br#"["18446744073709551616",18446744073709551615]"#).unwrap();
        assert_eq!(kept, serde_json::json!(["18446744073709551616", u64::MAX]));
    }
}
