use latchet::server::{
    App,
    config::Config,
    serve::{Lifecycle, Limits, Server},
};
#[tokio::main]
async fn main() {
    let config = Config::load(
        std::env::args_os(),
        std::env::vars().filter(|(k, _)| k.starts_with("LATCHET")),
    )
    .unwrap();
    let listen = config.listen;
    let app = App::open(config, latchet::clock::Clock::system())
        .await
        .unwrap();
    if let Ok(Some(link)) = app.setup_link().await {
        eprintln!("link {link}");
    }
    let lifecycle = Lifecycle::default();
    let limits = Limits::from(&app.config);
    let ep = latchet::server::routes(&app, lifecycle.clone());
    let listener = tokio::net::TcpListener::bind(listen).await.unwrap();
    Server {
        listener,
        tls: None,
        limits,
        lifecycle,
    }
    .run(ep, std::future::pending())
    .await;
}
