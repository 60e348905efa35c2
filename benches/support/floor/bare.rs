//! hyper alone, the base of everything else here.

use std::convert::Infallible;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;

pub(super) fn hyper() {
    let runtime = tokio::runtime::Runtime::new().expect("the system gives threads");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("there are free ports");
        println!("{}", listener.local_addr().expect("it is bound"));
        loop {
            let (stream, _) = listener.accept().await.expect("there are descriptors");
            stream.set_nodelay(true).expect("TCP has this option");
            #[expect(clippy::disallowed_methods, reason = "it runs until the load hangs up")]
            tokio::spawn(
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(empty)),
            );
        }
    });
}

async fn empty(_request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    Ok(Response::new(String::new()))
}
