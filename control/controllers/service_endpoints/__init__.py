"""From Services and Pods to addresses: EndpointSlices, and Endpoints for those who still read them."""
