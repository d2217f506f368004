"""The Rust engine alone: its workspace, and its codec without a server."""
