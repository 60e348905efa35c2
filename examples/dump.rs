fn main() {
    println!("{}", latchet::server::api::spec::document().yaml());
}
