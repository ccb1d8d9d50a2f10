//! `#[step]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, ExprLit, FnArg, Ident, ItemFn, Lit, LitStr, Meta, Result, Token, Type};

const PARAMETERS_MAX: usize = 4;

pub(crate) fn expand(arguments: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let function: ItemFn = syn::parse2(function)?;
    let said: Said = syn::parse2(arguments)?;
    check(&function)?;
    let ItemFn { attrs, vis, sig, .. } = &function;
    let ident = &sig.ident;
    let outer = attrs.iter().filter(|each| each.path().is_ident("doc") || each.path().is_ident("cfg"));
    let inner = attrs.iter().filter(|each| !each.path().is_ident("doc"));
    let definition = if said.local { quote!(::blazen::LocalStepDef) } else { quote!(::blazen::StepDef) };
    let name = said.name.unwrap_or_else(|| LitStr::new(&syn::ext::IdentExt::unraw(ident).to_string(), ident.span()));
    let says = &said.says;
    let block = &function.block;
    let body = if sig.asyncness.is_some() {
        quote!(#ident)
    } else {
        let (parameters, arguments) = forward(&function)?;
        quote!(|#(#parameters),*| ::core::future::ready(#ident(#(#arguments),*)))
    };
    let docs = if attrs.iter().any(|each| each.path().is_ident("doc")) {
        quote!()
    } else {
        let words = format!("The step `{}`.", name.value());
        quote!(#[doc = #words])
    };
    Ok(quote! {
        #(#outer)*
        #docs
        #vis fn #ident() -> #definition {
            #(#inner)*
            #[allow(clippy::unused_async)]
            #sig #block
            #definition::new(#name, #body) #(#says)*
        }
    })
}

fn check(function: &ItemFn) -> Result<()> {
    let sig = &function.sig;
    if let Some(FnArg::Receiver(receiver)) = sig.inputs.first() {
        return Err(Error::new_spanned(
            receiver,
            "a step is a free function: keep what it shares in the context's session, or use StepDef::new with a closure",
        ));
    }
    if !sig.generics.params.is_empty() {
        return Err(Error::new_spanned(&sig.generics, "a step is not generic: its event types have to be known"));
    }
    if sig.inputs.len() > PARAMETERS_MAX {
        return Err(Error::new_spanned(&sig.inputs, "a step takes four parameters at most"));
    }
    Ok(())
}

/// Parameters and arguments of a closure around a function that is not async.
fn forward(function: &ItemFn) -> Result<(Vec<TokenStream>, Vec<Ident>)> {
    let mut parameters = Vec::new();
    let mut arguments = Vec::new();
    for (index, input) in function.sig.inputs.iter().enumerate() {
        let FnArg::Typed(typed) = input else {
            return Err(Error::new_spanned(input, "a step is a free function"));
        };
        let (ident, of) = (quote::format_ident!("parameter_{index}"), &typed.ty);
        parameters.push(quote!(#ident: #of));
        arguments.push(ident);
    }
    Ok((parameters, arguments))
}

/// What `#[step(...)]` says.
#[derive(Default)]
struct Said {
    name: Option<LitStr>,
    local: bool,
    says: Vec<TokenStream>,
}

impl Parse for Said {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut said = Said::default();
        for meta in Punctuated::<Meta, Token![,]>::parse_terminated(input)? {
            said.take(&meta)?;
        }
        Ok(said)
    }
}

impl Said {
    fn take(&mut self, meta: &Meta) -> Result<()> {
        let word = meta.path().get_ident().map(ToString::to_string).unwrap_or_default();
        match word.as_str() {
            "name" => self.name = Some(text(meta)?),
            "local" => {
                meta.require_path_only()?;
                self.local = true;
            }
            "atomic" => {
                meta.require_path_only()?;
                self.says.push(quote!(.atomic()));
            }
            "emits_anything" => {
                meta.require_path_only()?;
                self.says.push(quote!(.emits_anything()));
            }
            "accepts" => self.types(meta, &quote!(accepts))?,
            "emits" => self.types(meta, &quote!(emits))?,
            "max_concurrency" => {
                let number = value(meta)?;
                self.says.push(quote!(.max_concurrency(#number)));
            }
            "timeout_ms" => {
                let number = value(meta)?;
                self.says.push(quote!(.timeout(::core::time::Duration::from_millis(#number))));
            }
            "retries" => {
                let number = value(meta)?;
                self.says.push(quote!(.retry(::blazen::RetryPolicy::attempts(1 + #number))));
            }
            "pool" => {
                let pool = text(meta)?;
                self.says.push(quote!(.uses_pool(#pool)));
            }
            _ => return Err(Error::new_spanned(
                meta,
                "unknown: name, accepts, emits, emits_anything, max_concurrency, timeout_ms, retries, atomic, pool and local are known",
            )),
        }
        Ok(())
    }

    /// Types of one's own, or texts.
    fn types(&mut self, meta: &Meta, method: &TokenStream) -> Result<()> {
        let list = meta.require_list()?;
        for each in list.parse_args_with(Punctuated::<Named, Token![,]>::parse_terminated)? {
            self.says.push(match each {
                Named::Text(text) => quote!(.#method(#text)),
                Named::Type(of) => quote!(.#method(::blazen::EventType::of::<#of>())),
            });
        }
        Ok(())
    }
}

enum Named {
    Text(LitStr),
    Type(Box<Type>),
}

impl Parse for Named {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.peek(LitStr) {
            input.parse().map(Named::Text)
        } else {
            input.parse().map(|of| Named::Type(Box::new(of)))
        }
    }
}

fn value(meta: &Meta) -> Result<&Expr> {
    Ok(&meta.require_name_value()?.value)
}

fn text(meta: &Meta) -> Result<LitStr> {
    match value(meta)? {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text.clone()),
        other => Err(Error::new_spanned(other, "expected a text")),
    }
}
