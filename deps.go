package deps
import (
 _ "github.com/kubeedge/beehive/pkg/core"
 _ "github.com/gorilla/websocket"
 _ "github.com/emicklei/go-restful/v3"
 _ "k8s.io/client-go/kubernetes"
 _ "k8s.io/apimachinery/pkg/apis/meta/v1"
 _ "github.com/bluenviron/gortsplib/v4"
 _ "k8s.io/klog/v2"
 _ "github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
 _ "github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
 _ "github.com/prometheus/client_golang/prometheus/promhttp"
 _ "go.uber.org/goleak"
 _ "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
 _ "sigs.k8s.io/yaml"
 _ "github.com/pion/rtp"
)
