//! Figures and log lines of requests.
//!
//! Owns the names `legator_http_requests_total` and `legator_http_request_seconds`. Never logs an address's query, a header or a body:
//! they may hold secrets.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use legator_core::ids::TraceId;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Seconds at which the histogram of requests is cut.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];

/// What renders all metrics of this process. There is one recorder a process, made by the first call.
pub fn exporter() -> Arc<dyn Fn() -> String + Send + Sync> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let handle = HANDLE.get_or_init(install);
    Arc::new(move || {
        let Some(handle) = handle else { return String::new() };
        handle.run_upkeep();
        handle.render()
    })
}

fn install() -> Option<PrometheusHandle> {
    let built = PrometheusBuilder::new().set_buckets(&BUCKETS).and_then(PrometheusBuilder::install_recorder);
    match built {
        Ok(handle) => {
            describe();
            Some(handle)
        }
        Err(error) => {
            tracing::error!(%error, "metrics are not collected");
            None
        }
    }
}

fn describe() {
    metrics::describe_counter!(
        "legator_http_requests_total",
        "Requests answered, by method, route and status."
    );
    metrics::describe_histogram!(
        "legator_http_request_seconds",
        metrics::Unit::Seconds,
        "Time to the answer's head."
    );
}

/// Counts and logs one request.
pub async fn observe(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route =
        request.extensions().get::<MatchedPath>().map_or("none".to_owned(), |path| path.as_str().to_owned());
    let trace = request.extensions().get::<TraceId>().copied().unwrap_or(TraceId::new(0));
    let response = next.run(request).await;
    let (status, took) = (response.status().as_u16(), started.elapsed());
    let method = if method.as_str().len() <= 7 { method.to_string() } else { "OTHER".to_owned() };
    tracing::debug!(%trace, method, route, status, ms = took.as_millis(), "request");
    metrics::histogram!("legator_http_request_seconds", "route" => route.clone()).record(took.as_secs_f64());
    let labels = [("method", method), ("route", route), ("status", status.to_string())];
    metrics::counter!("legator_http_requests_total", &labels).increment(1);
    response
}
