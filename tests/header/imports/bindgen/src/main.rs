//! Imports the header through bindgen: asks the library's version, makes a JSON value and reads it back.
#![allow(non_camel_case_types, non_upper_case_globals, dead_code)]

include!(concat!(env!("OUT_DIR"), "/blazen.rs"));

use std::ffi::{c_char, c_void, CStr};
use std::{ptr, slice, str};

/// The text behind a pointer of the library's, which ends with a NUL.
unsafe fn text<'a>(at: *const c_char) -> &'a str {
    CStr::from_ptr(at).to_str().unwrap()
}

unsafe fn value_json(json: &str) -> *mut blazen_value {
    let (mut value, mut error) = (ptr::null_mut(), ptr::null_mut());
    let status = blazen_value_json(json.as_ptr().cast(), json.len(), &mut value, &mut error);
    if status != BLAZEN_OK as blazen_status {
        panic!("{}: {}", text(blazen_status_name(status)), text(blazen_error_message(error, ptr::null_mut())));
    }
    value
}

unsafe fn value_text<'a>(value: *const blazen_value) -> &'a str {
    let mut length = 0;
    let data: *const c_void = blazen_value_data(value, &mut length);
    str::from_utf8(slice::from_raw_parts(data.cast(), length)).unwrap()
}

fn main() {
    unsafe {
        assert_eq!(blazen_abi(), BLAZEN_ABI);
        let value = value_json(r#"{"hello":"rust"}"#);
        assert_eq!(blazen_value_tag(value), BLAZEN_TAG_JSON as blazen_tag);
        println!(
            "{} {} {BLAZEN_FOREVER} {BLAZEN_NAME_BYTES_MAX} {BLAZEN_STEP_TIMEOUT_MS_MAX} {BLAZEN_UNTIL_ASKING} {}",
            text(blazen_version()),
            value_text(value),
            text(blazen_event_name(BLAZEN_EVENT_STOP as blazen_known_event, ptr::null_mut()))
        );
        blazen_value_release(value);
    }
}
