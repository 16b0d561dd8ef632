//! What the process writes to standard error, and the traces it sends away. Traces are off unless a collector is named;
//! their spans hold routes, counts and outcomes, never what a request or an event says.

use std::time::Duration;

use axum::http::{Request, Response, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::{Config, Traces};
use crate::failure::{Explained, Failure};

/// How long spans that were not sent yet may hold up the end of the process.
const LAST_SPANS: Duration = Duration::from_secs(5);

/// What was started and must be ended.
#[derive(Default)]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Logs to standard error, and traces if a collector is named. Once a process, within its runtime.
    ///
    /// # Errors
    /// The filter of the log or the collector's address does not read.
    pub fn start(config: &Config, traced: bool) -> Result<Self, Failure> {
        let filter = EnvFilter::try_new(&config.log)
            .map_err(|error| Failure::usage(format!("log: {error}")))?;
        let log = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_filter(filter);
        let traces = match &config.telemetry.traces {
            Some(traces) if traced => Some(provider(config, traces)?),
            Some(_) | None => None,
        };
        let spans = traces.as_ref().map(|provider| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("assent"))
                .with_location(false)
                .with_threads(false)
                .with_filter(Targets::new().with_target("assent", LevelFilter::INFO))
        });
        tracing_subscriber::registry()
            .with(log)
            .with(spans)
            .try_init()
            .explained("log")?;
        Ok(Self { traces })
    }

    /// Sends what was not sent yet.
    pub async fn end(self) {
        let Some(provider) = self.traces else { return };
        // The exporter waits for answers, which this runtime has to carry meanwhile.
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_SPANS));
        match ended.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last traces were not sent"),
            Err(error) => tracing::warn!(%error, "the last traces were not sent"),
        }
    }
}

fn provider(config: &Config, traces: &Traces) -> Result<SdkTracerProvider, Failure> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(&traces.endpoint)
        .with_http_client(Client(Handle::current()))
        .build()
        .explained("telemetry.traces_endpoint")?;
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", "assent"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("assent.roles", config.roles.to_string()),
        ])
        .build();
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
            traces.ratio,
        ))))
        .with_resource(resource)
        .build())
}

/// Posts to the collector. The exporter runs on a thread of its own; the runtime carries its requests.
#[derive(Debug)]
struct Client(Handle);

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.0.spawn(post(request)).await?
    }
}

async fn post(request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let (mut head, body) = request.into_parts();
    let host = head.uri.host().ok_or("the collector's URL has no host")?;
    let port = head.uri.port_u16().unwrap_or(80);
    let stream = TcpStream::connect((host, port)).await?;
    let authority = format!("{host}:{port}");
    head.headers.insert(header::HOST, authority.parse()?);
    head.uri = head
        .uri
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .parse()?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::from_parts(head, Full::new(body));
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Response::from_parts(head, body))
}
