//! Guards: the handler argument that protects a route.
