"""ACLs and sample fetches: text compiled to closures at load."""
