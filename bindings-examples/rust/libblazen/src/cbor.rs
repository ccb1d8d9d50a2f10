//! Writes CBOR deterministically (RFC 8949, 4.2.1): shortest integers, lengths and floats, keys in the order of their encoded
//! bytes, one NaN.

use ciborium::Value;

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;

/// None where there is something in the tree that CBOR, or this crate, does not know.
pub(crate) fn write(tree: &Value) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    put(tree, &mut out)?;
    Some(out)
}

fn put(tree: &Value, out: &mut Vec<u8>) -> Option<()> {
    match tree {
        Value::Integer(number) => put_integer(i128::from(*number), out)?,
        Value::Bytes(bytes) => {
            head(BYTES, bytes.len() as u64, out);
            out.extend_from_slice(bytes);
        }
        Value::Text(text) => {
            head(TEXT, text.len() as u64, out);
            out.extend_from_slice(text.as_bytes());
        }
        Value::Array(items) => {
            head(ARRAY, items.len() as u64, out);
            items.iter().try_for_each(|item| put(item, out))?;
        }
        Value::Map(entries) => put_map(entries, out)?,
        Value::Tag(tag, inner) => {
            head(TAG, *tag, out);
            put(inner, out)?;
        }
        Value::Bool(truth) => out.push(SIMPLE << 5 | if *truth { 21 } else { 20 }),
        Value::Null => out.push(SIMPLE << 5 | 22),
        Value::Float(number) => put_float(*number, out),
        _ => return None,
    }
    Some(())
}

fn head(major: u8, number: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    match number {
        0..=23 => out.push(major | number as u8),
        24..=0xff => out.extend_from_slice(&[major | 24, number as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend_from_slice(&(number as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend_from_slice(&(number as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

fn put_integer(number: i128, out: &mut Vec<u8>) -> Option<()> {
    let (major, magnitude) = if number < 0 { (NEGATIVE, -1 - number) } else { (UNSIGNED, number) };
    head(major, u64::try_from(magnitude).ok()?, out);
    Some(())
}

fn put_map(entries: &[(Value, Value)], out: &mut Vec<u8>) -> Option<()> {
    let mut written = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        written.push((write(key)?, value));
    }
    written.sort_by(|(one, _), (other, _)| one.cmp(other));
    head(MAP, entries.len() as u64, out);
    for (key, value) in written {
        out.extend_from_slice(&key);
        put(value, out)?;
    }
    Some(())
}

fn put_float(number: f64, out: &mut Vec<u8>) {
    if number.is_nan() {
        out.extend_from_slice(&[SIMPLE << 5 | 25, 0x7e, 0x00]);
        return;
    }
    let single = number as f32;
    if f64::from(single) != number {
        out.push(SIMPLE << 5 | 27);
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Some(half) = half_bits(single) {
        out.push(SIMPLE << 5 | 25);
        out.extend_from_slice(&half.to_be_bytes());
    } else {
        out.push(SIMPLE << 5 | 26);
        out.extend_from_slice(&single.to_be_bytes());
    }
}

/// The bits of the half precision number that is exactly this one, which is no NaN.
fn half_bits(number: f32) -> Option<u16> {
    let bits = number.to_bits();
    let (sign, mantissa) = ((bits >> 16 & 0x8000) as u16, bits & 0x7f_ffff);
    let exponent = (bits >> 23 & 0xff) as i32 - 127;
    let exact = |bits: u32, shift: u32| (bits & ((1 << shift) - 1) == 0).then_some((bits >> shift) as u16);
    match exponent {
        128 => Some(sign | 0x7c00),
        -14..=15 => Some(sign | ((exponent + 15) as u16) << 10 | exact(mantissa, 13)?),
        -24..=-15 => Some(sign | exact(mantissa | 0x80_0000, (-1 - exponent) as u32)?),
        _ if bits & 0x7fff_ffff == 0 => Some(sign),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(tree: &Value) -> String {
        write(tree).unwrap().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The examples of RFC 8949, appendix A.
    #[test]
    fn the_examples_of_the_standard() {
        let float = |number: f64| hex(&Value::Float(number));
        for (number, wanted) in [
            (0.0, "f90000"),
            (-0.0, "f98000"),
            (1.0, "f93c00"),
            (1.1, "fb3ff199999999999a"),
            (65504.0, "f97bff"),
            (100_000.0, "fa47c35000"),
            (3.402_823_466_385_288_6e38, "fa7f7fffff"),
            (1.0e300, "fb7e37e43c8800759c"),
            (5.960_464_477_539_063e-8, "f90001"),
            (0.000_061_035_156_25, "f90400"),
            (-4.1, "fbc010666666666666"),
            (f64::INFINITY, "f97c00"),
            (f64::NEG_INFINITY, "f9fc00"),
            (f64::NAN, "f97e00"),
            (-f64::NAN, "f97e00"),
        ] {
            assert_eq!(float(number), wanted, "{number}");
        }
        let integer = |number: i64| hex(&Value::from(number));
        for (number, wanted) in [
            (0, "00"),
            (23, "17"),
            (24, "1818"),
            (1000, "1903e8"),
            (1_000_000, "1a000f4240"),
            (1_000_000_000_000, "1b000000e8d4a51000"),
            (-1, "20"),
            (-1000, "3903e7"),
        ] {
            assert_eq!(integer(number), wanted, "{number}");
        }
        assert_eq!(hex(&Value::Bytes(vec![1, 2, 3, 4])), "4401020304");
        assert_eq!(hex(&Value::Text("水".into())), "63e6b0b4");
        assert_eq!(hex(&Value::Tag(1, Box::new(Value::from(1_363_896_240)))), "c11a514b67b0");
        assert_eq!(hex(&Value::Array(vec![Value::Bool(false), Value::Bool(true), Value::Null])), "83f4f5f6");
    }

    #[test]
    fn every_half_comes_back() {
        let step = if cfg!(miri) { 997 } else { 1 };
        for bits in (0..=u16::MAX).step_by(step) {
            let wanted = [0xf9, (bits >> 8) as u8, bits as u8];
            let read: Value = ciborium::from_reader(&wanted[..]).unwrap();
            let Value::Float(number) = read else { panic!("{bits:x}") };
            if !number.is_nan() {
                assert_eq!(write(&read).unwrap(), wanted, "{number}");
            }
        }
    }
}
