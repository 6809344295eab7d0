"use strict";
(function () {
  /* Nothing from outside becomes markup: text goes in as text. */
  var SVG = "http://www.w3.org/2000/svg";
  var byDays = false, last = null, source = null, poll = 0, drawn = {};

  function $(id) { return document.getElementById(id); }
  function fill(parent, children) { parent.replaceChildren.apply(parent, children); }
  function text(id, s) { if ($(id).textContent !== s) $(id).textContent = s; }
  function make(name, attributes, children) {
    var e = document.createElement(name), k;
    for (k in attributes || {})
      if (k === "text") e.textContent = attributes[k]; else e.setAttribute(k, attributes[k]);
    (children || []).forEach(function (c) { e.appendChild(c); });
    return e;
  }
  function svg(name, attributes, children) {
    var e = document.createElementNS(SVG, name), k;
    for (k in attributes) if (k === "text") e.textContent = attributes[k]; else e.setAttribute(k, attributes[k]);
    (children || []).forEach(function (c) { e.appendChild(c); });
    return e;
  }
  /* Only what has changed is drawn again, so that nothing moves under a pointer. */
  function draw(name, data, fn) {
    var key = JSON.stringify(data);
    if (drawn[name] === key) return;
    drawn[name] = key;
    fn(data);
  }

  function size(n) {
    var units = ["KiB", "MiB", "GiB", "TiB", "PiB"], i = 0, sign = n < 0 ? "\u2212" : "";
    n = Math.abs(n);
    if (n < 1024) return sign + n + " B";
    for (n /= 1024; n >= 1023.95 && i < units.length - 1; i++) n /= 1024;
    return sign + n.toFixed(n < 99.95 ? 1 : 0) + " " + units[i];
  }
  function count(n) { return n.toLocaleString("en"); }
  function percent(part, whole) { return whole > 0 ? (100 * Math.min(part, whole) / whole).toFixed(part < whole ? 1 : 0) + " %" : "\u2013"; }
  function span(s) {
    if (s < 120) return s + " s";
    if (s < 7200) return Math.floor(s / 60) + " min";
    if (s < 172800) return Math.floor(s / 3600) + " h";
    return Math.floor(s / 86400) + " days";
  }
  function answered(c) { return c.hits + c.revalidated + c.collapsed + c.misses + c.passes; }
  function fromCache(c) { return c.hits + c.revalidated + c.collapsed; }
  function when(t, day) {
    var d = new Date(t * 1000);
    return day ? d.toLocaleDateString([], {day: "numeric", month: "short"})
      : d.toLocaleTimeString([], {hour: "2-digit", minute: "2-digit", hour12: false});
  }

  /* ---- the chart ---- */
  function ceiling(n) {
    var unit = 1;
    if (n <= 0) return 4096;
    while (unit * 1024 <= n) unit *= 1024;
    var steps = [1, 2, 4, 8, 16, 32, 64, 100, 128, 200, 256, 400, 512, 800, 1024], i = 0;
    while (steps[i] * unit < n) i++;
    return steps[i] * unit;
  }
  function chart(points) {
    var narrow = $("chart").clientWidth < 520;
    var w = narrow ? 380 : 960, h = narrow ? 220 : 260, left = 62, bottom = 24, top = 10;
    var max = ceiling(Math.max.apply(null, points.map(function (p) { return Math.max(p.served, p.fetched); })));
    var step = (w - left) / points.length, plot = h - bottom - top;
    var every = Math.ceil(points.length / (narrow ? 5 : 12));
    var parts = [], i, y, sum = {served: 0, fetched: 0};
    for (i = 0; i <= 4; i++) {
      y = top + plot * (1 - i / 4);
      parts.push(svg("line", {x1: left, x2: w, y1: y, y2: y}));
      parts.push(svg("text", {x: left - 8, y: y + 4, "text-anchor": "end", text: size(max * i / 4)}));
    }
    points.forEach(function (p, i) {
      var x = left + i * step, name = byDays ? when(p.start, true) : when(p.start, true) + " " + when(p.start);
      function bar(kind, from, width) {
        var high = p[kind] > 0 ? Math.max(1, plot * p[kind] / max) : 0;
        return svg("rect", {class: kind, x: x + from * step, width: width * step, y: top + plot - high, height: high,
          rx: Math.min(2, high)});
      }
      sum.served += p.served; sum.fetched += p.fetched;
      parts.push(svg("g", {}, [
        svg("title", {text: name + ": sent " + size(p.served) + ", fetched " + size(p.fetched) + ", saved " + size(p.saved)}),
        svg("rect", {class: "hot", x: x, width: step, y: top, height: plot}),
        bar("served", .1, .42), bar("fetched", .52, .38)]));
      if ((points.length - 1 - i) % every === 0)
        parts.push(svg("text", {x: i === points.length - 1 ? w : x + step / 2, y: h - 6,
          "text-anchor": i === points.length - 1 ? "end" : "middle", text: when(p.start, byDays)}));
    });
    fill($("chart"), [svg("svg", {viewBox: "0 0 " + w + " " + h, role: "img",
      "aria-label": "Sent to clients " + size(sum.served) + ", fetched from origins " + size(sum.fetched) +
        (byDays ? " in 30 days" : " in 48 hours") + ". The table below has the figures."}, parts)]);
    fill($("chart-table").tBodies[0], points.filter(function (p) { return p.served || p.fetched || p.tunnelled; })
      .reverse().map(function (p) {
        return make("tr", {}, [make("th", {scope: "row", text: when(p.start, true) + (byDays ? "" : " " + when(p.start))})]
          .concat([p.served, p.fetched, p.saved, p.tunnelled].map(function (n) { return make("td", {class: "n", text: size(n)}); })));
      }));
  }
  function draw_chart() { if (last) draw("chart", [byDays, $("chart").clientWidth < 520, byDays ? last.days : last.hours],
    function (d) { chart(d[2]); }); }

  /* ---- what a week was like ---- */
  var RESULTS = [["hits", "hits_sent", "From the cache", "m1"], ["revalidated", "revalidated_sent", "From the cache, after asking", "m2"],
    ["collapsed", "collapsed_sent", "From another\u2019s fetch", "m3"], ["misses", "misses_sent", "Fetched", "m4"],
    ["passes", "passes_sent", "Not cacheable", "m5"], ["tunnels", "tunnel_bytes", "Tunnels, not cacheable", "m6"],
    ["refused", "refused_sent", "Refused, failed", "m7"]];
  function mix(week) {
    var all = 0, c = Object.assign({}, week);
    c.refused = c.denied + c.errors;
    c.refused_sent = c.denied_sent + c.errors_sent;
    RESULTS.forEach(function (r) { all += c[r[0]]; });
    fill($("mix"), RESULTS.filter(function (r) { return c[r[0]]; }).map(function (r) {
      var e = make("i", {class: r[3]});
      e.style.flexGrow = c[r[0]];
      return e;
    }));
    $("mix").setAttribute("aria-label", percent(fromCache(c), answered(c)) + " of what could be cached came from the cache");
    fill($("mix-table").tBodies[0], RESULTS.map(function (r) {
      return make("tr", {}, [make("th", {scope: "row"}, [make("span", {class: "key " + r[3]}), document.createTextNode(r[2])]),
        make("td", {class: "n", text: count(c[r[0]])}), make("td", {class: "n", text: size(c[r[1]])})]);
    }));
    text("tunnels", c.tunnel_bytes ? size(c.tunnel_bytes) + " went through tunnels (HTTPS): nobody can cache them." : "");
  }

  function facts(d) {
    var s = d.store, used = s.disk_budget ? 100 * s.disk_used / s.disk_budget : 0;
    $("disk-meter").setAttribute("aria-valuenow", used.toFixed(0));
    $("disk-meter").setAttribute("aria-valuetext", size(s.disk_used) + " of " + size(s.disk_budget));
    $("disk-meter").firstElementChild.style.width = used.toFixed(1) + "%";
    text("disk-text", size(s.disk_used) + " of " + size(s.disk_budget) + ", " + count(s.objects) + (s.objects === 1 ? " object" : " objects"));
    var rows = [["Gained by compression", size(s.compression_gained)],
      ["In memory", size(s.memory_used) + " of " + size(s.memory_budget)],
      ["Evicted, ever", count(d.ever.evicted) + ", " + size(d.ever.evicted_bytes)],
      ["Purged, ever", count(d.ever.purged) + ", " + size(d.ever.purged_bytes)],
      ["Damaged and dropped, ever", count(d.ever.damaged)]];
    if (d.ever.no_room) rows.push(["Not stored for want of room, ever", count(d.ever.no_room)]);
    if (d.ever.io_errors) rows.push(["Disk errors, ever", count(d.ever.io_errors)]);
    fill($("facts"), [].concat.apply([], rows.map(function (r) { return [make("dt", {text: r[0]}), make("dd", {text: r[1]})]; })));
  }

  function hosts(h) {
    var most = h.rows.reduce(function (m, r) { return Math.max(m, r.sent_bytes); }, 1);
    function row(r, name, share) {
      var head = make("th", {scope: "row", text: name});
      if (share) {
        head.appendChild(make("span", {class: "share"}));
        head.lastChild.style.width = (100 * r.sent_bytes / most).toFixed(1) + "%";
      }
      return make("tr", {}, [head, make("td", {class: "n", text: count(r.requests)}),
        make("td", {class: "n", text: percent(r.hits, r.requests)}), make("td", {class: "n", text: size(r.sent_bytes)}),
        make("td", {class: "n wide", text: size(r.fetched_bytes)}), make("td", {class: "n wide", text: size(r.tunnel_bytes)})]);
    }
    var rows = h.rows.map(function (r) { return row(r, r.name, true); });
    if (!rows.length) rows.push(make("tr", {}, [make("td", {colspan: "6", class: "sub", text: "None yet."})]));
    else if (h.rest.requests) rows.push(row(h.rest, "all others", false));
    fill($("hosts").tBodies[0], rows);
  }

  function objects(id, list, now) {
    fill($(id), list.length ? list.map(function (o) {
      return make("li", {}, [make("span", {class: "url", text: o.url}),
        make("span", {class: "sub", text: size(o.size) + ", stored " + span(Math.max(0, now - o.stored_at)) + " ago"})]);
    }) : [make("li", {class: "sub", text: "None yet."})]);
  }

  function flights(d) {
    text("flight-text", d.flights.length ? count(d.fetches_in_flight) + (d.fetches_in_flight === 1 ? " fetch" : " fetches") +
      " under way, " + count(d.connections_open) + " client connections open." :
      "Nothing is being fetched; " + count(d.connections_open) + (d.connections_open === 1 ? " client connection is" : " client connections are") + " open.");
    fill($("flights"), d.flights.map(function (f) {
      var li = make("li", {}, [make("span", {class: "url", text: f.url}), make("span", {class: "sub", text:
        size(f.received) + (f.length ? " of " + size(f.length) : "") + ", for " + span(Math.max(0, d.now - f.since)) +
        (f.readers > 1 ? ", " + count(f.readers) + " clients read it" : "")})]);
      if (f.length) li.appendChild(make("progress", {max: f.length, value: f.received, "aria-label": "fetched so far"}));
      return li;
    }));
  }

  function saved(id, c) {
    text(id, size(c.saved_bytes));
    text(id + "-sub", answered(c) ? percent(fromCache(c), answered(c)) + " of " + count(answered(c)) + " answers and " +
      percent(c.hit_bytes, c.served_bytes) + " of bytes from the cache" + (id === "ever" ? ", since " + when(c.since, true) : "") : "nothing was asked for yet");
  }

  function addresses(ports) {
    var host = location.hostname || "HOST", here = +location.port || 80;
    function at(wanted) {
      return host + ":" + (ports.indexOf(wanted) >= 0 ? wanted : ports.indexOf(here) >= 0 ? here : ports[0] || wanted);
    }
    document.querySelectorAll("[data-apt]").forEach(function (e) { e.textContent = at(3142); });
    document.querySelectorAll("[data-proxy]").forEach(function (e) { e.textContent = at(3128); });
  }

  function show(d) {
    last = d;
    text("about", "a caching proxy, version " + d.version + ", up for " + span(d.uptime));
    saved("today", d.today); saved("week", d.week); saved("ever", d.ever);
    draw_chart();
    draw("mix", d.week, mix);
    draw("facts", {store: d.store, ever: d.ever}, facts);
    draw("hosts", d.hosts, hosts);
    flights(d);
    if (d.objects) {
      objects("newest", d.objects.newest, d.now);
      objects("largest", d.objects.largest, d.now);
      $("partial").hidden = !d.objects.partial;
    }
    draw("ports", d.ports, addresses);
  }

  /* ---- live ---- */
  function state(name, s) { $("live").dataset.state = name; text("live", s); }
  function fetch_once() {
    fetch("/api/stats").then(function (r) { if (!r.ok) throw 0; return r.json(); })
      .then(function (d) { show(d); state("live", "every 10 s"); }, function () { state("lost", "no answer; trying again"); });
  }
  function listen() {
    if (source || document.hidden) return;
    source = new EventSource("/api/events");
    source.onmessage = function (e) { clearInterval(poll); poll = 0; show(JSON.parse(e.data)); state("live", "live"); };
    source.onerror = function () {
      state("lost", "no answer; trying again");
      if (source && source.readyState === 2) {
        source = null;
        if (!poll) poll = setInterval(fetch_once, 10000);
        fetch_once();
      }
    };
  }
  document.addEventListener("visibilitychange", function () {
    if (!document.hidden) { listen(); return; }
    if (source) source.close();
    source = null;
    state("wait", "paused");
  });

  /* ---- buttons ---- */
  function period(days) {
    byDays = days;
    $("by-hours").setAttribute("aria-pressed", String(!days));
    $("by-days").setAttribute("aria-pressed", String(days));
    draw_chart();
  }
  $("by-hours").addEventListener("click", function () { period(false); });
  $("by-days").addEventListener("click", function () { period(true); });
  window.addEventListener("resize", draw_chart);

  /* The clipboard's own interface is for HTTPS and localhost alone. */
  function copy_by_selection(e) {
    var range = document.createRange(), selection = getSelection(), done;
    range.selectNodeContents(e);
    selection.removeAllRanges();
    selection.addRange(range);
    try { done = document.execCommand("copy"); } catch (x) { done = false; }
    if (done) selection.removeAllRanges();
    return done;
  }
  document.querySelectorAll(".copy").forEach(function (box) {
    var button = box.querySelector("button"), code = box.querySelector("code");
    button.setAttribute("aria-label", "Copy the line for " + $(box.querySelector("pre").getAttribute("aria-labelledby")).textContent);
    function said(ok) {
      button.textContent = ok ? "Copied" : "Selected";
      setTimeout(function () { button.textContent = "Copy"; }, 2000);
    }
    button.addEventListener("click", function () {
      if (navigator.clipboard && window.isSecureContext)
        navigator.clipboard.writeText(code.textContent).then(function () { said(true); }, function () { said(copy_by_selection(code)); });
      else said(copy_by_selection(code));
    });
  });

  $("purge-form").addEventListener("submit", function (e) {
    var what = $("purge-what").value.trim(), password = $("purge-password").value;
    var only = !e.submitter || e.submitter.value !== "remove", headers = {"X-Larder": "purge"};
    e.preventDefault();
    if (!what) return;
    if (password) headers.Authorization = "Bearer " + password;
    text("purge-said", "\u2026");
    fetch("/api/purge?" + (/^https?:\/\/[^*?[\]]*$/.test(what) ? "url=" : "match=") + encodeURIComponent(what) +
      (only ? "&dry_run=1" : ""), {method: "POST", headers: headers}).then(function (r) {
      return r.text().then(function (t) {
        var o = null;
        try { o = JSON.parse(t); } catch (x) { /* plain text */ }
        text("purge-said", o && o.error ? o.error : !r.ok ? t : count(o.objects) + (o.objects === 1 ? " object, " : " objects, ") +
          size(o.bytes) + (only ? " would be freed." : " freed."));
      });
    }).catch(function () { text("purge-said", "No answer."); });
  });

  listen();
})();
