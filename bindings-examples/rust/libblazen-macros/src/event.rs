//! `#[derive(Event)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DataStruct, DeriveInput, Error, Fields, LitStr, Result};

/// The built-in events, which a type of the user's is not.
const BUILT_IN: [&str; 4] = ["StartEvent", "StopEvent", "InputRequestEvent", "InputResponseEvent"];

pub(crate) fn derive(input: TokenStream) -> Result<TokenStream> {
    let input: DeriveInput = syn::parse2(input)?;
    let fields = match &input.data {
        Data::Struct(DataStruct { fields, .. }) => fields,
        Data::Enum(item) => return Err(not_a_struct(item.enum_token.span)),
        Data::Union(item) => return Err(not_a_struct(item.union_token.span)),
    };
    let event_type = event_type(&input)?;
    let ident = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    let (write, read) = match fields {
        Fields::Unit => nothing(quote!(Self)),
        Fields::Named(named) if named.named.is_empty() => nothing(quote!(Self {})),
        _ => (quote!(::blazen::__private::Payload::new(self)), quote!(::blazen::__private::fields(value, Self::TYPE))),
    };
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::blazen::Event for #ident #type_generics #where_clause {
            const TYPE: &'static str = #event_type;
            fn to_payload(
                &self,
            ) -> ::core::result::Result<::blazen::__private::Payload, ::blazen::WorkflowError> {
                #write
            }
            fn from_value(
                value: ::blazen::ValueRef<'_>,
            ) -> ::core::result::Result<Self, ::blazen::WorkflowError> {
                #read
            }
        }
    })
}

/// An event without fields is `{}`.
fn nothing(made: TokenStream) -> (TokenStream, TokenStream) {
    (
        quote!(::core::result::Result::Ok(::blazen::__private::Payload::empty())),
        quote!(::blazen::__private::no_fields(value, Self::TYPE).map(|()| #made)),
    )
}

fn not_a_struct(span: proc_macro2::Span) -> Error {
    Error::new(span, "an event is a struct: derive Event for one struct for each type of event")
}

fn event_type(input: &DeriveInput) -> Result<LitStr> {
    let mut named = None;
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("event")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("type") {
                return Err(meta.error("expected `type = \"...\"`"));
            }
            named = Some(meta.value()?.parse::<LitStr>()?);
            Ok(())
        })?;
    }
    let name = named.unwrap_or_else(|| {
        let bare = syn::ext::IdentExt::unraw(&input.ident).to_string();
        LitStr::new(&bare, input.ident.span())
    });
    let value = name.value();
    if BUILT_IN.contains(&value.as_str()) {
        return Err(Error::new(
            name.span(),
            format!("an event of one's own cannot be named {value}; did you mean blazen::{value}?"),
        ));
    }
    if value.is_empty() {
        return Err(Error::new(name.span(), "the type of an event has a name"));
    }
    Ok(name)
}
