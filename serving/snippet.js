/* Segue in a page.
 *
 *   <script async src="https://segue.example/v1/segue.js" data-key="PUBLIC KEY"></script>
 *   <div data-segue="frequently_bought_together" data-product-id="P1" data-link="/products/{id}"></div>
 *
 * Every element with data-segue is filled with a list, and what is seen and clicked of it is logged. See docs/http.md
 * for its attributes, for your own markup in a <template>, and for Segue.recommend(), which returns the answer and leaves
 * the drawing to you.
 */
(function () {
  "use strict";

  var script = document.currentScript;
  var base = script ? new URL(".", script.src).href : "/v1/"; // …/v1/
  var key = script && script.dataset.key;

  /** The id of this visitor: data-anonymous-id of the script, else one that this browser remembers. */
  function anonymousId() {
    if (script && script.dataset.anonymousId) return script.dataset.anonymousId;
    try {
      var id = localStorage.getItem("segue_anonymous_id");
      if (!id) {
        id = newId();
        localStorage.setItem("segue_anonymous_id", id);
      }
      return id;
    } catch (refused) {
      return undefined; // storage is blocked: a visitor nobody knows is ordinary
    }
  }

  /** POST /v1/recommendations. Resolves to the answer; rejects with an Error that carries `problem` (RFC 9457). */
  async function recommend(body, options) {
    var headers = { "Content-Type": "application/json" };
    if (key) headers["Authorization"] = "Bearer " + key;
    if (options && options.signature) headers["Segue-Customer-Signature"] = options.signature;
    var response = await fetch(base + "recommendations", {
      method: "POST",
      headers: headers,
      body: JSON.stringify(Object.assign({ anonymous_id: anonymousId() }, body)),
    });
    var answer = await response.json();
    if (response.ok) return answer;
    throw Object.assign(new Error(answer.detail || response.statusText), { problem: answer });
  }

  var waiting = []; // events on their way

  /**
   * Log an event of this visitor: track("view", {product_id: "P1"}). Names and fields are those of docs/events.md.
   * Events of a moment go out together, and also while the page is being left.
   */
  function track(name, fields) {
    var event = Object.assign({ event: name, anonymous_id: anonymousId(), event_id: newId() }, fields);
    if (script && script.dataset.customerId) event.customer_id = script.dataset.customerId;
    if (waiting.push(event) === 1) setTimeout(send, 500);
  }

  function send() {
    if (waiting.length === 0) return;
    var headers = { "Content-Type": "application/json" };
    if (key) headers["Authorization"] = "Bearer " + key;
    var signature = script && script.dataset.customerSignature;
    if (signature) headers["Segue-Customer-Signature"] = signature;
    var body = JSON.stringify({ events: waiting.splice(0, 200) });
    fetch(base + "events", { method: "POST", headers: headers, body: body, keepalive: true })
      .then(tell)
      .catch(function (error) {
        console.error("segue:", error.message);
      });
    send();
  }

  /** What the service did not take of some events, on the console: the developer of the page looks there. */
  async function tell(response) {
    var answer = await response.json();
    if (!response.ok) console.error("segue:", answer.detail || response.statusText, answer);
    else if (answer.rejected.length > 0) console.error("segue: events were rejected", answer.rejected);
  }

  function newId() {
    return crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2) + Date.now();
  }

  /** Log what of a list comes into view, once each, and what is clicked; unless the script has data-track="off". */
  function watch(list, block, decision) {
    if (script && script.dataset.track === "off") return;
    function log(name, item) {
      if (item.dataset.kind !== "product") return;
      track(name, { product_id: item.dataset.id, placement: block.placement, decision_id: decision });
    }
    var observer = new IntersectionObserver(
      function (seen) {
        seen.forEach(function (one) {
          if (!one.isIntersecting) return;
          observer.unobserve(one.target);
          log("impression", one.target);
        });
      },
      { threshold: 0.5 }
    );
    Array.prototype.forEach.call(list.children, function (item) {
      observer.observe(item);
    });
    list.addEventListener("click", function (event) {
      var item = event.target.closest("a") && event.target.closest("li");
      if (!item) return;
      log("click", item);
      send();
    });
  }

  /** The block that an element asks for. */
  function blockOf(element) {
    var data = element.dataset;
    var block = { placement: data.segue, count: Number(data.count || 4), context: {} };
    if (data.productId) block.context.product_ids = [data.productId];
    if (data.productIds) block.context.product_ids = JSON.parse(data.productIds);
    if (data.category) block.context.category = data.category;
    if (data.filter) block.filter = data.filter;
    return block;
  }

  /** What one field of a template shows. */
  function valueOf(item, field) {
    var product = item.product || {};
    if (field === "id") return item.id;
    if (field === "title") return product.title || item.id;
    if (field === "price") {
      var price = product.sale_price === undefined ? product.price : product.sale_price;
      if (price === undefined) return "";
      if (!product.currency) return price.toFixed(2);
      return price.toLocaleString(document.documentElement.lang || undefined, {
        style: "currency",
        currency: product.currency,
      });
    }
    return product[field] === undefined ? "" : String(product[field]);
  }

  /** One item drawn: by the element's <template> if it has one, else as a plain list entry. Only text is ever set. */
  function draw(element, item, decision) {
    var template = element.querySelector("template");
    var drawn = document.createElement("li");
    if (template) {
      drawn.appendChild(template.content.cloneNode(true));
    } else {
      var link = document.createElement("a");
      ["title", "price"].forEach(function (field) {
        var part = document.createElement("span");
        part.dataset.field = field;
        link.append(part, " ");
      });
      drawn.appendChild(link);
    }
    drawn.dataset.id = item.id;
    drawn.dataset.kind = item.kind;
    drawn.dataset.rank = item.rank;
    drawn.dataset.decisionId = decision;
    drawn.querySelectorAll("[data-field]").forEach(function (part) {
      part.textContent = valueOf(item, part.dataset.field);
    });
    var image = item.product && item.product.image_link;
    drawn.querySelectorAll("img[data-image]").forEach(function (part) {
      if (image && /^https?:\/\//.test(image)) part.src = image;
      part.alt = valueOf(item, "title");
    });
    if (element.dataset.link) {
      drawn.querySelectorAll("a").forEach(function (part) {
        // A function, so that a "$&" in an id stays what it is.
        part.href = element.dataset.link.replace("{id}", function () {
          return encodeURIComponent(item.id);
        });
      });
    }
    return drawn;
  }

  /** Put a block's items into its element, as a list, and tell the page by the event "segue:items". */
  function show(element, block, decision) {
    var list = document.createElement("ul");
    block.items.forEach(function (item) {
      list.appendChild(draw(element, item, decision));
    });
    element.querySelectorAll(":scope > ul").forEach(function (old) {
      old.remove();
    });
    element.appendChild(list);
    watch(list, block, decision);
    element.dispatchEvent(new CustomEvent("segue:items", { bubbles: true, detail: { block: block, decision_id: decision } }));
  }

  /** Fill every element with data-segue below `root`, in one request, so that no product is repeated among them. */
  async function fill(root) {
    var elements = Array.prototype.slice.call((root || document).querySelectorAll("[data-segue]"), 0, 20);
    if (elements.length === 0) return;
    var who = {};
    if (script && script.dataset.customerId) who.customer_id = script.dataset.customerId;
    var signature = script && script.dataset.customerSignature;
    var answer = await recommend(Object.assign(who, { blocks: elements.map(blockOf) }), { signature: signature });
    answer.blocks.forEach(function (block, place) {
      show(elements[place], block, answer.decision_id);
    });
  }

  /** A page never breaks because of its recommendations: what goes wrong is told on the console. */
  function start() {
    fill().catch(function (error) {
      console.error("segue:", error.message, error.problem || "");
    });
  }

  window.Segue = { recommend: recommend, fill: fill, track: track, anonymousId: anonymousId };
  addEventListener("pagehide", send);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
