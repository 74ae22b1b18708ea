"""Authentication and authorization: certificates, tokens, RBAC, the node authorizer."""
