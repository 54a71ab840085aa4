"""The service: models behind HTTP, requests that arrive together in one pass (docs/serving.md)."""
