//! Which trace a record of the journal belongs to: its context travels in a header, as W3C Trace Context writes it, so
//! that the trace of a request and that of the fold which takes its events in name each other. Nothing else travels.

use std::collections::BTreeSet;

use assent_journal::Stored;
use bytes::Bytes;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The header, and the one version of its content there is.
const HEADER: &str = "traceparent";
const VERSION: &str = "00";
/// Traces one read joins at most: a batch may hold the events of thousands of requests.
const JOINED: usize = 64;

/// The header that names this span; none when it is not traced.
pub fn header_of(span: &Span) -> Option<(String, Bytes)> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let of_span = context.span().span_context().clone();
    if !of_span.is_sampled() {
        return None;
    }
    Some((HEADER.to_owned(), written(&of_span).into()))
}

/// Joins the current span with the traces of these records.
pub fn join(records: &[Stored]) {
    let span = Span::current();
    if span.is_disabled() {
        return;
    }
    let contexts: BTreeSet<&[u8]> = records
        .iter()
        .flat_map(|stored| &stored.headers)
        .filter(|(name, _)| name == HEADER)
        .map(|(_, value)| &value[..])
        .take(JOINED)
        .collect();
    for context in contexts.into_iter().filter_map(read) {
        span.add_link(context);
    }
}

fn written(context: &SpanContext) -> String {
    format!(
        "{VERSION}-{}-{}-{:02x}",
        context.trace_id(),
        context.span_id(),
        context.trace_flags().to_u8()
    )
}

/// What is no such header is nothing to anybody.
fn read(value: &[u8]) -> Option<SpanContext> {
    let text = std::str::from_utf8(value).ok()?;
    let parts: Vec<&str> = text.split('-').collect();
    let [VERSION, trace, span, flags] = parts[..] else {
        return None;
    };
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::NONE,
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_reads_as_it_was_written_and_nonsense_is_none() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = read(text.as_bytes()).unwrap();
        assert_eq!(written(&context), text);
        for wrong in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-xyz-b7ad6b7169203331-01",
        ] {
            assert!(read(wrong.as_bytes()).is_none(), "{wrong}");
        }
        assert!(read(&[0xff, 0xfe]).is_none());
    }
}
