# Varnish as a cache: lifetimes from the origin, no grace.
vcl 4.1;

backend origin {
    .host = "{{origin_host}}";
    .port = "{{origin_port}}";
}

sub vcl_recv {
    if (req.http.Host != "bench.example") {
        return (synth(421));
    }
}

sub vcl_backend_response {
    set beresp.grace = 0s;
}

sub vcl_deliver {
    if (obj.hits > 0) {
        set resp.http.Cache-Status = "varnish; hit";
    } else {
        set resp.http.Cache-Status = "varnish; fwd=miss";
    }
}
