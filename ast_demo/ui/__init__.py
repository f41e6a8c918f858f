"""The web page. No computing here: each event reads components, calls the library, fills components."""
